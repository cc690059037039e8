# How many tasks. Three movements, since target tracking can neither leave zero (there is nothing to divide by) nor be told
# when to go there:
#
#   target   from one task up and down: messages, waiting and in hand, per running task are held at backlog_per_task
#   wake     from zero to one: messages wait and no task runs
#   sleep    to zero: all the service's queues have been empty for idle_minutes
#
# A message in hand counts, so a long shard keeps its task. What a stopping task had in hand is handed back within its drain.

locals {
  scaled   = var.autoscaling == null ? {} : local.services
  sleepers = { for service, size in local.scaled : service => size if size.tasks_min == 0 }

  # Of each queue the messages that wait and those in hand. SQS tells of the latter only while there are any: hence FILL.
  gauges = {
    for service, queues in local.queues : service => merge([
      for queue in queues : {
        "${replace(queue, "-", "_")}_visible"   = { metric = "ApproximateNumberOfMessagesVisible", queue = module.names.queues[queue].name }
        "${replace(queue, "-", "_")}_in_flight" = { metric = "ApproximateNumberOfMessagesNotVisible", queue = module.names.queues[queue].name }
      }
    ]...)
  }
  waiting = { for service, gauges in local.gauges : service => { for id, gauge in gauges : id => gauge if endswith(id, "_visible") } }
  backlog = {
    for service, queues in local.queues : service =>
    join(" + ", [for id in [for queue in queues : replace(queue, "-", "_")] : "${id}_visible + FILL(${id}_in_flight, 0)"])
  }

  # SQS stops telling of a queue that nobody has called for six hours; a sleeping service must hear of its other queue then.
  asleep = {
    for service, queues in local.queues : service =>
    "IF((${join(" + ", [for queue in queues : "FILL(${replace(queue, "-", "_")}_visible, 0)"])}) > 0 AND FILL(tasks, 0) < 1, 1, 0)"
  }
}

resource "aws_appautoscaling_target" "tasks" {
  for_each = local.scaled

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.scaled[each.key].name}"
  min_capacity       = each.value.tasks_min
  max_capacity       = each.value.tasks_max
}

resource "aws_appautoscaling_policy" "target" {
  for_each = local.scaled

  name               = "backlog-per-task"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.tasks[each.key].service_namespace
  scalable_dimension = aws_appautoscaling_target.tasks[each.key].scalable_dimension
  resource_id        = aws_appautoscaling_target.tasks[each.key].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.backlog_per_task
    scale_out_cooldown = var.autoscaling.scale_out_cooldown_s
    scale_in_cooldown  = var.autoscaling.scale_in_cooldown_s

    customized_metric_specification {
      dynamic "metrics" {
        for_each = local.gauges[each.key]

        content {
          id          = metrics.key
          return_data = false

          metric_stat {
            stat = "Average"

            metric {
              namespace   = "AWS/SQS"
              metric_name = metrics.value.metric

              dimensions {
                name  = "QueueName"
                value = metrics.value.queue
              }
            }
          }
        }
      }

      metrics {
        id          = "tasks"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"

            dimensions {
              name  = "ClusterName"
              value = aws_ecs_cluster.this.name
            }
            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.scaled[each.key].name
            }
          }
        }
      }

      metrics {
        id          = "backlog_per_task"
        label       = "Messages, waiting or in hand, per running task"
        expression  = "(${local.backlog[each.key]}) / tasks"
        return_data = true
      }
    }
  }
}

resource "aws_appautoscaling_policy" "wake" {
  for_each = local.sleepers

  name               = "wake"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.tasks[each.key].service_namespace
  scalable_dimension = aws_appautoscaling_target.tasks[each.key].scalable_dimension
  resource_id        = aws_appautoscaling_target.tasks[each.key].resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity" # never ExactCapacity: should the alarm be late, it must not take tasks away
    metric_aggregation_type = "Average"
    cooldown                = 300 # until the first task is up and counted

    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = 1
    }
  }
}

resource "aws_appautoscaling_policy" "sleep" {
  for_each = local.sleepers

  name               = "sleep"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.tasks[each.key].service_namespace
  scalable_dimension = aws_appautoscaling_target.tasks[each.key].scalable_dimension
  resource_id        = aws_appautoscaling_target.tasks[each.key].resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Average"
    cooldown                = var.autoscaling.scale_in_cooldown_s

    step_adjustment {
      metric_interval_upper_bound = 0
      scaling_adjustment          = 0
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "wake" {
  for_each = local.sleepers

  alarm_name          = "${local.prefix}-${each.key}-wake"
  alarm_description   = "Not a fault: messages wait but no ${each.key} runs, so one is started."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 5 # three of five, because the newest one or two minutes may not be told yet and read as zero
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.wake[each.key].arn]

  dynamic "metric_query" {
    for_each = local.waiting[each.key]

    content {
      id          = metric_query.key
      return_data = false

      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value.metric
        period      = 60
        stat        = "Average"
        dimensions  = { QueueName = metric_query.value.queue }
      }
    }
  }

  metric_query {
    id          = "tasks"
    return_data = false

    metric {
      namespace   = "ECS/ContainerInsights"
      metric_name = "RunningTaskCount"
      period      = 60
      stat        = "Average"
      dimensions = {
        ClusterName = aws_ecs_cluster.this.name
        ServiceName = aws_ecs_service.scaled[each.key].name
      }
    }
  }

  metric_query {
    id          = "asleep"
    label       = "Messages wait and no task runs"
    expression  = local.asleep[each.key]
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "sleep" {
  for_each = local.sleepers

  alarm_name          = "${local.prefix}-${each.key}-sleep"
  alarm_description   = "Not a fault: the queues of the ${each.key} have been empty for ${var.autoscaling.idle_minutes} minutes, so it scales to zero."
  comparison_operator = "LessThanOrEqualToThreshold"
  threshold           = 0
  evaluation_periods  = var.autoscaling.idle_minutes
  datapoints_to_alarm = var.autoscaling.idle_minutes
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.sleep[each.key].arn]

  dynamic "metric_query" {
    for_each = local.gauges[each.key]

    content {
      id          = metric_query.key
      return_data = false

      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value.metric
        period      = 60
        stat        = "Average"
        dimensions  = { QueueName = metric_query.value.queue }
      }
    }
  }

  metric_query {
    id          = "backlog"
    label       = "Messages, waiting or in hand"
    expression  = local.backlog[each.key]
    return_data = true
  }
}
