# By which name it is found in the VPC, and who may reach it. Its way out is that of the services' security group.

resource "aws_service_discovery_service" "this" {
  name         = "page"
  description  = "The task of the page, on port ${local.port}"
  namespace_id = var.namespace_id

  dns_config {
    namespace_id   = var.namespace_id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }

  # ECS tells Cloud Map which tasks are up. The number is always 1; without it the block is not made.
  health_check_custom_config {
    failure_threshold = 1
  }
}

resource "aws_security_group" "this" {
  name        = "${local.prefix}-page"
  description = "The page of Quarry: who may reach it"
  vpc_id      = var.vpc_id

  tags = { Name = "${local.prefix}-page" }
}

# Positions are the keys, for the ids may be known only after other modules' resources stand.
resource "aws_vpc_security_group_ingress_rule" "group" {
  for_each = { for position, id in var.allow_from_security_group_ids : tostring(position) => id }

  security_group_id            = aws_security_group.this.id
  description                  = "Readers of the page"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_ingress_rule" "cidr" {
  for_each = toset(var.allow_from_cidrs)

  security_group_id = aws_security_group.this.id
  description       = "Readers of the page"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = local.port
  to_port           = local.port
}
