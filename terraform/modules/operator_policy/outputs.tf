output "policy_arn" {
  description = "ARN of the operator's policy, to be attached to the roles or permission sets of those who operate."
  value       = aws_iam_policy.this.arn
}

output "policy_json" {
  description = "What an operator may do, as JSON."
  value       = data.aws_iam_policy_document.this.json
}

output "eraser_policy_json" {
  description = "What whoever erases runs may do besides, as JSON. Nobody has it unless you attach it."
  value       = data.aws_iam_policy_document.eraser.json
}
