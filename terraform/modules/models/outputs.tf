output "create_arns" {
  description = "What bedrock:CreateModelInvocationJob needs beside the jobs: profiles, and foundation models in every region where they may answer."
  value       = sort(distinct(concat(local.profile_arns, local.foundation_model_arns)))

  precondition {
    condition     = length(local.problems) == 0
    error_message = join("\n", local.problems)
  }
}

output "invoke_arns" {
  description = "What Bedrock's role needs bedrock:InvokeModel for: the profiles and their foundation models; empty where no profile is used."
  value       = local.invoke_arns
}

output "foundation_model_arns" {
  description = "ARNs of the foundation models, in every region where they may answer."
  value       = local.foundation_model_arns
}

output "profile_arns" {
  description = "ARNs of the inference profiles, AWS's own and the application profiles."
  value       = local.profile_arns
}
