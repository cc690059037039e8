variable "place" {
  description = "Where the environment is: every name and ARN is built from it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "deletion_window_days" {
  description = "Days between the destruction of the key and its final deletion, in which the deletion can be cancelled: what is encrypted with it is lost after."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.deletion_window_days >= 7 && var.deletion_window_days <= 30 && floor(var.deletion_window_days) == var.deletion_window_days
    error_message = "deletion_window_days must be a whole number from 7 to 30: KMS takes no other."
  }
}
