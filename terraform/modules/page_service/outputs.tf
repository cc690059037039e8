output "service_name" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "security_group_id" {
  description = "Id of the page's security group."
  value       = aws_security_group.this.id
}

output "log_group_name" {
  description = "Name of the log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "execution_access_json" {
  description = "What ECS may do to start the page, as JSON."
  value       = data.aws_iam_policy_document.execution.json
}
