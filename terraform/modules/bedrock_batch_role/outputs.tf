# The ARN is made of names, so that it is known at plan time; whoever takes it still waits until the role stands.
output "role_arn" {
  description = "ARN of the role that Bedrock runs batch jobs under."
  value       = module.names.roles["bedrock"].arn
  depends_on  = [aws_iam_role.bedrock]
}

output "role_name" {
  description = "Name of the role."
  value       = module.names.roles["bedrock"].name
  depends_on  = [aws_iam_role.bedrock]
}

output "trust_json" {
  description = "The role's trust policy, as JSON."
  value       = data.aws_iam_policy_document.trust.json
}

output "access_json" {
  description = "The role's one inline policy, as JSON."
  value       = data.aws_iam_policy_document.access.json
}
