# Prometheus finds the tasks by name: one A record for each task, in a zone that only this VPC sees.

resource "aws_service_discovery_private_dns_namespace" "this" {
  name        = "${local.prefix}.internal"
  description = "Tasks of ${local.prefix}, for the scrape of metrics"
  vpc         = var.vpc_id
}

resource "aws_service_discovery_service" "scrape" {
  for_each = local.services

  name         = each.key
  description  = "Tasks of the ${each.key}, metrics on port ${local.metrics_port}"
  namespace_id = aws_service_discovery_private_dns_namespace.this.id # the one below is the old place, which the provider asks for

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this.id
    routing_policy = "MULTIVALUE" # all tasks in one answer, up to eight

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

check "prometheus_sees_every_task" {
  assert {
    condition     = alltrue([for service in local.services : service.tasks_max <= 8])
    error_message = "A service's tasks_max is above 8, and a DNS answer names eight tasks at most: Prometheus will scrape a changing eight of them."
  }
}

# Positions are the keys, for the ids may be known only after other modules' resources stand.
resource "aws_vpc_security_group_ingress_rule" "scrape_from_group" {
  for_each = { for position, id in var.scrape_from_security_group_ids : tostring(position) => id }

  security_group_id            = var.security_group_id
  description                  = "Scrape of metrics"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.metrics_port
  to_port                      = local.metrics_port
}

resource "aws_vpc_security_group_ingress_rule" "scrape_from_cidr" {
  for_each = toset(var.scrape_from_cidrs)

  security_group_id = var.security_group_id
  description       = "Scrape of metrics"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = local.metrics_port
  to_port           = local.metrics_port
}
