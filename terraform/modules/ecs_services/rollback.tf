# A deployment under which dead-letter messages appear is rolled back. The circuit breaker sees tasks that do not come up; a release that
# comes up and fails at its messages is seen here.
#
# What counts is that there are more dead-letter messages than a minute ago, not that there are any: what has lain there since last week
# says nothing of this release. The manifests' own are left out, because any user can send one that is wrong.

locals {
  # By service: the queues that it reads and that Quarry or AWS writes to.
  judged = {
    for service, queues in local.queues : service => [for queue in queues : queue if queue != "manifests"]
  }
  rollback_alarms = { for service, queues in local.judged : service => "${local.prefix}-${service}-new-dead-letters" if var.rollback_on_dead_letters }
}

resource "aws_cloudwatch_metric_alarm" "new_dead_letters" {
  for_each = local.rollback_alarms

  alarm_name          = each.value
  alarm_description   = "A message of the ${each.key} was dead-lettered within five minutes. A deployment that is under way is rolled back."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 5 # stays for five minutes: ECS asks now and then, and not at each minute
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"

  dynamic "metric_query" {
    for_each = local.judged[each.key]

    content {
      id          = replace(metric_query.value, "-", "_")
      return_data = false

      metric {
        namespace   = "AWS/SQS"
        metric_name = "ApproximateNumberOfMessagesVisible"
        period      = 60
        stat        = "Maximum"
        dimensions  = { QueueName = module.names.queues[metric_query.value].dlq_name }
      }
    }
  }

  metric_query {
    id          = "new_dead_letters"
    label       = "Dead-letter messages more than a minute ago"
    expression  = "DIFF(${join(" + ", [for queue in local.judged[each.key] : "FILL(${replace(queue, "-", "_")}, REPEAT)"])})"
    return_data = true
  }
}
