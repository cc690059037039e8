variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "kms_key_arn" {
  description = "ARN of the environment's KMS key, or null if bucket, queues and ledger are encrypted with AWS's own keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (not of an alias), as in \"arn:aws:kms:us-east-1:123456789012:key/...\", or null."
  }
}
