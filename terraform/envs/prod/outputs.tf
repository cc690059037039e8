output "environment" {
  description = "The containers' environment variables, and the command's: `eval` them as the README shows."
  value       = module.pipeline.environment
}

output "helm_values" {
  description = "The chart's `config` block."
  value       = module.pipeline.helm_values
}

output "role_arns" {
  description = "ARN of the role of each service."
  value       = module.pipeline.role_arns
}

output "operator_policy_arn" {
  description = "ARN of the managed policy for those who submit, monitor and cancel."
  value       = module.pipeline.operator_policy_arn
}

output "eraser_policy_json" {
  description = "What `quarry erase` needs beside the operators' policy, as JSON."
  value       = module.pipeline.eraser_policy_json
}

output "repository_urls" {
  description = "URL of each image's repository, to push to."
  value       = module.pipeline.repository_urls
}
