variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "key" {
  description = "Which of Quarry's queues this is: manifests, slices, scheduler, events or collector."
  type        = string

  validation {
    condition     = contains(["manifests", "slices", "scheduler", "events", "collector", "on-demand"], var.key)
    error_message = "key must be one of manifests, slices, scheduler, events, collector."
  }
}

variable "visibility_timeout_s" {
  description = "Seconds that a received message stays hidden; a message whose receiver was killed becomes visible again after that."
  type        = number
  default     = 120
  nullable    = false

  validation {
    condition     = var.visibility_timeout_s >= 10 && var.visibility_timeout_s <= 43200 && floor(var.visibility_timeout_s) == var.visibility_timeout_s
    error_message = "visibility_timeout_s must be a whole number of seconds from 10 to 43200 (12 hours)."
  }
}

variable "receive_count_max" {
  description = "How many times a message may be received before SQS moves it to the dead-letter queue."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.receive_count_max >= 1 && var.receive_count_max <= 1000 && floor(var.receive_count_max) == var.receive_count_max
    error_message = "receive_count_max must be a whole number from 1 to 1000."
  }
}

variable "retention_s" {
  description = "Seconds that the queue keeps a message; 4 days by default."
  type        = number
  default     = 345600
  nullable    = false

  validation {
    condition     = var.retention_s >= 60 && var.retention_s <= 1209600 && floor(var.retention_s) == var.retention_s
    error_message = "retention_s must be a whole number of seconds from 60 to 1209600 (14 days)."
  }
}

variable "dead_retention_s" {
  description = "Seconds that the dead-letter queue keeps a message, counted from when it was first sent; 14 days by default."
  type        = number
  default     = 1209600
  nullable    = false

  validation {
    condition     = var.dead_retention_s <= 1209600 && floor(var.dead_retention_s) == var.dead_retention_s
    error_message = "dead_retention_s must be a whole number of seconds, at most 1209600 (14 days)."
  }

  # The age of a dead-letter message counts from its first sending: kept no longer than the queue keeps it, it is gone on arrival.
  validation {
    condition     = var.dead_retention_s > var.retention_s
    error_message = "dead_retention_s must be greater than retention_s: a dead-letter message's age counts from its first sending."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts both queues; null encrypts them with SQS's own keys (SSE-SQS)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias; null for SSE-SQS."
  }
}

variable "event_rule_arn" {
  description = "ARN of the EventBridge rule that may send to the queue; null where only roles send."
  type        = string
  default     = null

  validation {
    condition     = var.event_rule_arn == null || can(regex("^arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:rule/[^*?]+$", var.event_rule_arn))
    error_message = "event_rule_arn must be the whole ARN of one rule (arn:aws:events:<region>:<account>:rule/<name>), or null."
  }
}
