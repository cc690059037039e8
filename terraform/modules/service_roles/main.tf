# One role for each service, and in it one policy: what that service asks of AWS, read from its code (policy.tf). On EC2
# the three share the server, and so its role, with one policy for each.

module "names" {
  source = "../names"
  place  = var.place
}

locals {
  services = toset(module.names.services)
  on_ec2   = var.runtime == "ec2"
  # Under which role a service runs.
  role_of = { for service in local.services : service => local.on_ec2 ? "server" : service }

  # IAM counts what a role's inline policies hold, white space aside.
  policy_chars_max = 10240
  policy_chars     = { for service in local.services : service => length(jsonencode(jsondecode(data.aws_iam_policy_document.access[service].json))) }
  role_chars       = { for role in toset(values(local.role_of)) : role => sum([for service in local.services : local.policy_chars[service] if local.role_of[service] == role]) }
}

resource "aws_iam_role" "this" {
  for_each = local.trusts

  name                 = module.names.roles[each.key].name
  description          = "Quarry ${var.place.env}: ${each.key == "server" ? "the server of all services" : "the ${each.key}"}"
  assume_role_policy   = each.value
  permissions_boundary = var.permissions_boundary_arn

  lifecycle {
    precondition {
      condition     = local.role_chars[each.key] <= local.policy_chars_max
      error_message = "The policies of role ${module.names.roles[each.key].name} have ${local.role_chars[each.key]} characters, and IAM takes ${local.policy_chars_max}: name fewer models or source buckets${local.on_ec2 ? ", or run the services under roles of their own" : ""}."
    }
  }
}

resource "aws_iam_role_policy" "access" {
  for_each = local.services

  name   = local.on_ec2 ? each.key : "access"
  role   = aws_iam_role.this[local.role_of[each.key]].name
  policy = data.aws_iam_policy_document.access[each.key].json
}

resource "aws_iam_instance_profile" "server" {
  count = local.on_ec2 ? 1 : 0

  name = module.names.roles["server"].name
  role = aws_iam_role.this["server"].name
}
