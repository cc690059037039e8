variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "alarm_action_arns" {
  description = "ARNs to notify when an alarm fires and when it clears, for example of an SNS topic; at most five, may be empty."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.alarm_action_arns) <= 5 && alltrue([for arn in var.alarm_action_arns : can(regex("^arn:aws[a-z-]*:[a-z0-9-]+:", arn))])
    error_message = "alarm_action_arns must be at most five ARNs, as in \"arn:aws:sns:us-east-1:123456789012:on-call\"."
  }
}

variable "oldest_message_s_max" {
  description = "Seconds that the oldest message of a queue may wait before its alarm fires; an hour by default."
  type        = number
  default     = 3600
  nullable    = false

  validation {
    condition     = var.oldest_message_s_max >= 60 && var.oldest_message_s_max <= 259200 && floor(var.oldest_message_s_max) == var.oldest_message_s_max
    error_message = "oldest_message_s_max must be a whole number of seconds from 60 to 259200 (3 days): the queues keep a message for 4 days."
  }
}
