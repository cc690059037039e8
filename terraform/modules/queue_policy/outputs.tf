output "json" {
  description = "The policy, for the queue's argument `policy`."
  value       = data.aws_iam_policy_document.this.json
}
