variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "scheduler_queue_arn" {
  description = "ARN of the scheduler's queue, which the sweep's message goes to."
  type        = string

  validation {
    condition     = var.scheduler_queue_arn == module.names.queues["scheduler"].arn
    error_message = "scheduler_queue_arn must be the ARN of the environment's own scheduler queue, ${module.names.queues["scheduler"].arn}."
  }
}

variable "every_minutes" {
  description = "Minutes from one sweep to the next."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.every_minutes >= 1 && var.every_minutes <= 60 && floor(var.every_minutes) == var.every_minutes
    error_message = "every_minutes must be a whole number of minutes from 1 to 60."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the scheduler's queue; null where SQS's own keys do (SSE-SQS)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias; null for SSE-SQS."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of the policy that bounds the role, where the account asks for one; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of a managed policy (arn:aws:iam::<account>:policy/<name>), or null."
  }
}
