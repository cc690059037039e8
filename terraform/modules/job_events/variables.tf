variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "events_queue_arn" {
  description = "ARN of the events queue, whose policy must let the rule send."
  type        = string

  validation {
    condition     = var.events_queue_arn == module.names.queues["events"].arn
    error_message = "events_queue_arn must be the ARN of the environment's own events queue, ${module.names.queues["events"].arn}."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the target's dead-letter queue, and whose policy must let EventBridge use it; null encrypts with SQS's own keys (SSE-SQS)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias; null for SSE-SQS."
  }
}

variable "event_age_max_s" {
  description = "Seconds that EventBridge keeps trying to deliver an event; a day by default, the maximum."
  type        = number
  default     = 86400
  nullable    = false

  validation {
    condition     = var.event_age_max_s >= 60 && var.event_age_max_s <= 86400 && floor(var.event_age_max_s) == var.event_age_max_s
    error_message = "event_age_max_s must be a whole number of seconds from 60 to 86400 (24 hours)."
  }
}

variable "event_retries_max" {
  description = "How often EventBridge retries the delivery of an event; 185 by default, the maximum."
  type        = number
  default     = 185
  nullable    = false

  validation {
    condition     = var.event_retries_max >= 0 && var.event_retries_max <= 185 && floor(var.event_retries_max) == var.event_retries_max
    error_message = "event_retries_max must be a whole number from 0 to 185."
  }
}
