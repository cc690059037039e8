variable "queue_arn" {
  description = "ARN of the queue. Build it from its name, so that a plan shows the policy before the queue stands."
  type        = string
  nullable    = false
}

variable "event_rule_arn" {
  description = "ARN of the EventBridge rule that delivers to the queue, or whose undelivered events go there; null: none does."
  type        = string
  default     = null
}
