variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "runtime" {
  description = "Where the page runs, which decides who assumes its role: ecs, eks, or none (`trusted_principal_arns` assume it)."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["ecs", "eks", "none"], var.runtime)
    error_message = "runtime must be one of ecs, eks, none. On a server of yours attach the operator's policy to who runs the page."
  }
}

variable "trust_policy" {
  description = "For runtime eks: the trust policy that module `eks_identity` makes for the page, as JSON. Null for any other runtime."
  type        = string
  default     = null

  validation {
    condition     = (var.trust_policy != null) == (var.runtime == "eks")
    error_message = "trust_policy goes with runtime eks, which needs it (output trust_policies of module eks_identity)."
  }
}

variable "trusted_principal_arns" {
  description = "For runtime none: ARNs of the principals that may take the role. Empty: whoever the account itself lets take it, by policies of its own."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "write" {
  description = "Whether the page may control runs: what `quarry ui --write` does. Without it the role only reads."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key_arn" {
  description = "ARN of the environment's KMS key, or null if bucket, queues and ledger are encrypted with AWS's own keys."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary that your account asks of every role, or null."
  type        = string
  default     = null
}
