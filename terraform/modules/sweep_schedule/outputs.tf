output "schedule_arn" {
  description = "ARN of the schedule."
  value       = aws_scheduler_schedule.sweep.arn
}

output "role_arn" {
  description = "ARN of the role that EventBridge Scheduler sends under."
  value       = aws_iam_role.sweep.arn
}
