variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "bucket_arn" {
  description = "ARN of the data bucket, whose objects' reads and writes are logged."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket_arn))
    error_message = "bucket_arn must be the ARN of a bucket (arn:aws:s3:::<name>), without a key or a slash behind it."
  }
}

variable "retention_days" {
  description = "Days that the logs are kept; a year by default."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 3650 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days must be a whole number of days from 1 to 3650 (ten years)."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the logs, whose policy must let CloudTrail use it for this trail; null encrypts them with S3's own keys (SSE-S3)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias; null for SSE-S3."
  }
}
