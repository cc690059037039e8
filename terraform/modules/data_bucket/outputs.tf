# Name and ARN are made of names, so that they are known at plan time; whoever takes them still waits until the bucket stands.
output "bucket" {
  description = "Name of the bucket."
  value       = module.names.bucket
  depends_on  = [aws_s3_bucket.this]
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = module.names.bucket_arn
  depends_on  = [aws_s3_bucket.this]
}

output "policy_json" {
  description = "The bucket's policy, as JSON."
  value       = data.aws_iam_policy_document.this.json
}
