output "repository_urls" {
  description = "URL of each service's repository: service to URL, without a tag."
  value       = { for service, repository in aws_ecr_repository.service : service => repository.repository_url }
}
