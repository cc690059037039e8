output "key_arn" {
  description = "ARN of the key; known only when it is made."
  value       = aws_kms_key.this.arn
}

output "key_id" {
  description = "Id of the key; known only when it is made."
  value       = aws_kms_key.this.key_id
}

output "alias" {
  description = "Name of the key's alias."
  value       = local.alias
}

output "policy_json" {
  description = "The key's policy, as JSON."
  value       = data.aws_iam_policy_document.this.json
}
