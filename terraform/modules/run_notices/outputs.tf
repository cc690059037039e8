output "topic_arn" {
  description = "ARN of the topic: subscribe mail addresses, queues or functions to it."
  value       = aws_sns_topic.ended.arn
}

output "rule_arn" {
  description = "ARN of the rule."
  value       = aws_cloudwatch_event_rule.ended.arn
}

output "dlq_url" {
  description = "URL of the queue of what could not be delivered to the topic."
  value       = aws_sqs_queue.undelivered.url
}
