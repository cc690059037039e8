# Who may take the roles. On EC2 the server's role is all services'.

module "trust" {
  source         = "../role_trust"
  place          = var.place
  principal_arns = var.trusted_principal_arns
}

locals {
  trusts = {
    ecs  = { for service in local.services : service => module.trust.policies.ecs }
    eks  = var.trust_policies
    ec2  = { server = module.trust.policies.ec2 }
    none = { for service in local.services : service => module.trust.policies.none }
  }[var.runtime]
}
