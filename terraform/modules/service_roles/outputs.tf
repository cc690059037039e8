# The ARNs are those of the names, so that they are known before anything stands; and whoever uses them waits for role and
# policy: a bucket's policy, for one, can only name a role that is there.

output "role_arns" {
  description = "ARN of the role that each service runs under: service to ARN, the same one for all on EC2."
  value       = { for service, role in local.role_of : service => module.names.roles[role].arn }
  depends_on  = [aws_iam_role_policy.access]
}

output "access_json" {
  description = "What each service may do: service to the JSON of its policy."
  value       = { for service, document in data.aws_iam_policy_document.access : service => document.json }
}

output "trust_json" {
  description = "Who may take each role: role (a service, or server) to the JSON of its trust policy."
  value       = local.trusts
}

output "instance_profile" {
  description = "Name of the server's instance profile; null unless the runtime is ec2."
  value       = one(aws_iam_instance_profile.server[*].name)
}
