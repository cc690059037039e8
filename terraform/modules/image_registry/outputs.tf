output "repository_urls" {
  description = "URL of each image's repository: image to URL, without a tag."
  value       = { for image, repository in aws_ecr_repository.image : image => repository.repository_url }
}
