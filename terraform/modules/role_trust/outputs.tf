output "policies" {
  description = "The trust policy of a role by the runtime that takes it (ecs, ec2, none), as JSON. On EKS it is made by module `eks_identity`."
  value = {
    ecs  = data.aws_iam_policy_document.ecs.json
    ec2  = data.aws_iam_policy_document.ec2.json
    none = data.aws_iam_policy_document.principals.json
  }
}

output "execution_json" {
  description = "The trust policy of the role under which ECS itself starts a task, as JSON."
  value       = data.aws_iam_policy_document.execution.json
}
