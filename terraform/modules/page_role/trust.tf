# Who may take the role, as for the services' own.

module "trust" {
  source         = "../role_trust"
  place          = var.place
  principal_arns = var.trusted_principal_arns
}

locals {
  trusts = merge(module.trust.policies, { eks = var.trust_policy })
}
