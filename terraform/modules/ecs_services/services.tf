# Terraform cannot ignore a change on a condition, and a service whose tasks are counted by Application Auto Scaling must not
# be counted by Terraform too. So there are two resources of one shape, and an environment has one of them: `scaled`, whose
# desired_count is no longer Terraform's once it stands, or `fixed`, where it is. They differ in name, so that an environment
# can change from one to the other: both may stand for a moment, and any number of a service may run.

locals {
  deployment = {
    minimum_healthy_percent = 100
    maximum_percent         = 200
  }
}

resource "aws_ecs_service" "scaled" {
  for_each = var.autoscaling == null ? {} : local.services

  name            = "${local.prefix}-${each.key}"
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.service[each.key].arn
  desired_count   = max(1, each.value.tasks_min) # a new environment starts awake
  launch_type     = "FARGATE"

  deployment_minimum_healthy_percent = local.deployment.minimum_healthy_percent
  deployment_maximum_percent         = local.deployment.maximum_percent
  enable_execute_command             = false
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "alarms" {
    for_each = var.rollback_on_dead_letters ? [aws_cloudwatch_metric_alarm.new_dead_letters[each.key].alarm_name] : []

    content {
      alarm_names = [alarms.value]
      enable      = true
      rollback    = true
    }
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = false
  }

  service_registries {
    registry_arn = aws_service_discovery_service.scrape[each.key].arn
  }

  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.token] # the first task needs them, and so does the last

  lifecycle {
    ignore_changes = [desired_count]

    precondition {
      condition     = each.value.tasks_min >= 0 && each.value.tasks_max >= max(1, each.value.tasks_min) && floor(each.value.tasks_min) == each.value.tasks_min && floor(each.value.tasks_max) == each.value.tasks_max
      error_message = "services.${each.key}: tasks_min must be a whole number from 0, and tasks_max one from 1 that is not below it."
    }
    precondition {
      condition     = each.value.backlog_per_task > 0
      error_message = "services.${each.key}.backlog_per_task must be above 0."
    }
  }
}

resource "aws_ecs_service" "fixed" {
  for_each = var.autoscaling == null ? local.services : {}

  name            = "${local.prefix}-${each.key}-fixed"
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.service[each.key].arn
  desired_count   = max(1, each.value.tasks_min) # nothing would wake it from zero
  launch_type     = "FARGATE"

  deployment_minimum_healthy_percent = local.deployment.minimum_healthy_percent
  deployment_maximum_percent         = local.deployment.maximum_percent
  enable_execute_command             = false
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "alarms" {
    for_each = var.rollback_on_dead_letters ? [aws_cloudwatch_metric_alarm.new_dead_letters[each.key].alarm_name] : []

    content {
      alarm_names = [alarms.value]
      enable      = true
      rollback    = true
    }
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = false
  }

  service_registries {
    registry_arn = aws_service_discovery_service.scrape[each.key].arn
  }

  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.token]
}
