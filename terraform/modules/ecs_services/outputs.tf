output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "cluster_arn" {
  description = "ARN of the ECS cluster."
  value       = aws_ecs_cluster.this.arn
}

output "service_names" {
  description = "Names of the ECS services: service to name."
  value       = { for service, resource in merge(aws_ecs_service.scaled, aws_ecs_service.fixed) : service => resource.name }
}

output "log_group_names" {
  description = "Names of the log groups: service to name."
  value       = { for service, group in aws_cloudwatch_log_group.service : service => group.name }
}

output "scrape_targets" {
  description = "Names that Prometheus' dns_sd_configs look up (type A, port 9090): service to name."
  value       = { for service in keys(local.services) : service => "${service}.${aws_service_discovery_private_dns_namespace.this.name}" }
}

output "namespace_id" {
  description = "Id of the Cloud Map namespace of those names."
  value       = aws_service_discovery_private_dns_namespace.this.id
}

output "execution_role_arn" {
  description = "ARN of the role under which ECS starts the tasks."
  value       = module.names.roles.execution.arn
}

output "execution_access_json" {
  description = "Policy of that role."
  value       = data.aws_iam_policy_document.execution.json
}

output "execution_trust_json" {
  description = "Trust policy of that role."
  value       = module.trust.execution_json
}
