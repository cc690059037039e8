# Every alarm is compared by name, with what it watches.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place             = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  alarm_action_arns = ["arn:aws:sns:us-east-1:123456789012:on-call"]
}

run "a_dead_letter_queue_that_is_not_empty" {
  command = plan

  assert {
    condition = {
      for alarm in aws_cloudwatch_metric_alarm.dead_letters :
      alarm.alarm_name => join(" ", [for name, value in alarm.dimensions : "${name}=${value}"])
      } == {
      "dev-quarry-manifests-dlq-not-empty"    = "QueueName=dev-quarry-manifests-dlq"
      "dev-quarry-slices-dlq-not-empty"       = "QueueName=dev-quarry-slices-dlq"
      "dev-quarry-scheduler-dlq-not-empty"    = "QueueName=dev-quarry-scheduler-dlq"
      "dev-quarry-events-dlq-not-empty"       = "QueueName=dev-quarry-events-dlq"
      "dev-quarry-collector-dlq-not-empty"    = "QueueName=dev-quarry-collector-dlq"
      "dev-quarry-on-demand-dlq-not-empty"    = "QueueName=dev-quarry-on-demand-dlq"
      "dev-quarry-event-target-dlq-not-empty" = "QueueName=dev-quarry-event-target-dlq"
    }
    error_message = "The six queues' dead-letter messages and the event target's must be watched."
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.dead_letters :
      alarm.namespace == "AWS/SQS" && alarm.metric_name == "ApproximateNumberOfMessagesVisible" &&
      alarm.statistic == "Maximum" && alarm.comparison_operator == "GreaterThanThreshold" && alarm.threshold == 0 &&
      alarm.evaluation_periods == 1 && alarm.period == 300 && alarm.treat_missing_data == "notBreaching"
    ])
    error_message = "One message on a dead-letter queue must set off its alarm, and silence must not."
  }
}

run "a_message_that_waits" {
  command = plan

  assert {
    condition = {
      for alarm in aws_cloudwatch_metric_alarm.oldest_message :
      alarm.alarm_name => join(" ", [for name, value in alarm.dimensions : "${name}=${value}"])
      } == {
      "dev-quarry-manifests-oldest-message" = "QueueName=dev-quarry-manifests"
      "dev-quarry-slices-oldest-message"    = "QueueName=dev-quarry-slices"
      "dev-quarry-scheduler-oldest-message" = "QueueName=dev-quarry-scheduler"
      "dev-quarry-events-oldest-message"    = "QueueName=dev-quarry-events"
      "dev-quarry-collector-oldest-message" = "QueueName=dev-quarry-collector"
      "dev-quarry-on-demand-oldest-message" = "QueueName=dev-quarry-on-demand"
    }
    error_message = "The six queues must be watched."
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.oldest_message :
      alarm.namespace == "AWS/SQS" && alarm.metric_name == "ApproximateAgeOfOldestMessage" &&
      alarm.statistic == "Maximum" && alarm.comparison_operator == "GreaterThanThreshold" && alarm.threshold == 3600 &&
      alarm.evaluation_periods == 1 && alarm.period == 300 && alarm.treat_missing_data == "notBreaching"
    ])
    error_message = "A message older than an hour must set off its queue's alarm, and silence must not."
  }
}

run "every_alarm_tells_someone_what_to_do" {
  command = plan

  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.dead_letters), values(aws_cloudwatch_metric_alarm.oldest_message)) :
      toset(alarm.alarm_actions) == toset(var.alarm_action_arns) && toset(alarm.ok_actions) == toset(var.alarm_action_arns)
    ])
    error_message = "Every alarm must tell of its beginning and its end."
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.dead_letters :
      endswith(alarm.alarm_description, "See docs/operations.md, section \"Dead-letter queues\".") &&
      strcontains(alarm.alarm_description, "${alarm.dimensions.QueueName} is not empty. ")
    ])
    error_message = "A dead-letter message's alarm must name the queue and the page."
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.oldest_message :
      endswith(alarm.alarm_description, "See docs/operations.md, section \"A run does not move\".") &&
      strcontains(alarm.alarm_description, "on ${alarm.dimensions.QueueName} for more than 3600 seconds. ")
    ])
    error_message = "A waiting message's alarm must name the queue, the limit and the page."
  }

  assert {
    condition = length(output.alarm_names) == 13 && output.alarm_names == sort(concat(
      [for alarm in aws_cloudwatch_metric_alarm.dead_letters : alarm.alarm_name],
      [for alarm in aws_cloudwatch_metric_alarm.oldest_message : alarm.alarm_name],
    ))
    error_message = "The output must name all eleven alarms."
  }
}

run "nobody_to_tell_and_another_limit" {
  command = plan

  variables {
    alarm_action_arns    = []
    oldest_message_s_max = 900
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.oldest_message["slices"].threshold == 900 &&
      length(coalesce(aws_cloudwatch_metric_alarm.oldest_message["slices"].alarm_actions, [])) == 0
    )
    error_message = "What is given must be what is used."
  }
}

run "refuses_a_mail_address" {
  command = plan

  variables {
    alarm_action_arns = ["on-call@example.com"]
  }

  expect_failures = [var.alarm_action_arns]
}

run "refuses_a_limit_beyond_what_the_queues_keep" {
  command = plan

  variables {
    oldest_message_s_max = 345600
  }

  expect_failures = [var.oldest_message_s_max]
}
