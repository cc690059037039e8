variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "principal_arns" {
  description = "For runtime none: ARNs of the principals that may take the role. Empty: whoever the account itself lets take it, by policies of its own."
  type        = list(string)
  default     = []
  nullable    = false
}
