output "role_arn" {
  description = "ARN of the page's role."
  value       = module.names.roles.page.arn
  depends_on  = [aws_iam_role_policy.access]
}

output "access_json" {
  description = "What the page may do, as JSON."
  value       = data.aws_iam_policy_document.access.json
}

output "trust_json" {
  description = "Who may take the role, as JSON."
  value       = local.trusts[var.runtime]
}
