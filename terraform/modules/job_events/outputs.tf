output "rule_arn" {
  description = "ARN of the rule."
  value       = aws_cloudwatch_event_rule.jobs.arn
}

output "target_dlq_url" {
  description = "URL of the target's dead-letter queue: events that could not be delivered."
  value       = aws_sqs_queue.undelivered.url
}

output "target_dlq_arn" {
  description = "ARN of the target's dead-letter queue."
  value       = aws_sqs_queue.undelivered.arn
}
