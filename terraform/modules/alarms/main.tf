module "names" {
  source = "../names"
  place  = var.place
}

locals {
  # Alarm name -> the queue that it watches, and what to do about it.
  dead_letters = merge(
    {
      for key, queue in module.names.queues : "${queue.dlq_name}-not-empty" => {
        queue  = queue.dlq_name
        remedy = local.dead_letter_remedies[key]
      }
    },
    {
      "${module.names.event_target_dlq}-not-empty" = {
        queue  = module.names.event_target_dlq
        remedy = "EventBridge could not deliver job events: fix the events queue's policy, or its key's. Until then the sweep does the work, later."
      }
    },
  )

  dead_letter_remedies = {
    manifests = "A manifest was refused, or received too often: read quarry_reason, send a corrected one, then delete this one or move it back."
    slices    = "A preprocessor failed on a message: read quarry_reason, fix the fault, then move the message back or delete it."
    scheduler = "A scheduler failed on a message: read quarry_reason, fix the fault, then move the message back or delete it."
    events    = "Something that is no job event of Bedrock came in: find its sender, then delete it. The sweep has done its work."
    collector = "A collector failed on a message: read quarry_reason, fix the fault, then move the message back or delete it."
    on-demand = "A scheduler failed on a message: read quarry_reason, fix the fault, then move the message back or delete it."
  }

  oldest_message_remedies = {
    manifests = "Is a preprocessor running? It also leaves manifests here while as many runs are open as may be."
    slices    = "Is a preprocessor running, and are there enough of them? Read its log for handler_failed."
    scheduler = "Is a scheduler running? Read its log for handler_failed."
    events    = "Is a scheduler running? Until it is, only Bedrock knows which jobs have ended."
    collector = "Is a collector running, and are there enough of them? Read its log for handler_failed."
    on-demand = "Is a scheduler running? It may also be at work: a shard's message stays until all its records are asked."
  }
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = local.dead_letters

  alarm_name          = each.key
  alarm_description   = "${each.value.queue} is not empty. ${each.value.remedy} See docs/operations.md, section \"Dead-letter queues\"."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value.queue }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching" # SQS falls silent about a queue that nothing has touched for hours
  alarm_actions       = var.alarm_action_arns
  ok_actions          = var.alarm_action_arns
}

resource "aws_cloudwatch_metric_alarm" "oldest_message" {
  for_each = module.names.queues

  alarm_name          = "${each.value.name}-oldest-message"
  alarm_description   = "A message has waited on ${each.value.name} for more than ${var.oldest_message_s_max} seconds. ${local.oldest_message_remedies[each.key]} See docs/operations.md, section \"A run does not move\"."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = each.value.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.oldest_message_s_max
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_action_arns
  ok_actions          = var.alarm_action_arns
}
