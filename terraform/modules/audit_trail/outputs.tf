output "trail_arn" {
  description = "ARN of the trail."
  value       = aws_cloudtrail.audit.arn
}

output "log_bucket" {
  description = "Name of the bucket that the trail writes to."
  value       = aws_s3_bucket.logs.id
}

output "policy_json" {
  description = "The log bucket's policy, as JSON."
  value       = data.aws_iam_policy_document.logs.json
}
