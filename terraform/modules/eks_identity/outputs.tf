output "trust_policies" {
  description = "Who may take each service's role: service to the JSON of its trust policy, for module `service_roles`."
  value = {
    for service, document in merge(data.aws_iam_policy_document.pod_identity, data.aws_iam_policy_document.irsa) :
    service => document.json
  }
}
