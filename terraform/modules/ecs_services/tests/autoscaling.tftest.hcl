# Policies and alarms as they are planned. What CloudWatch makes of the expressions only a live account shows.

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
  vpc_id            = "vpc-0a"
  subnet_ids        = ["subnet-0a", "subnet-0b"]
  security_group_id = "sg-0a"
  role_arns = {
    preprocessor = "arn:aws:iam::123456789012:role/dev-quarry-preprocessor"
    scheduler    = "arn:aws:iam::123456789012:role/dev-quarry-scheduler"
    collector    = "arn:aws:iam::123456789012:role/dev-quarry-collector"
  }
  images = {
    preprocessor = "example.org/quarry-preprocessor:0.3.0"
    scheduler    = "example.org/quarry-scheduler:0.3.0"
    collector    = "example.org/quarry-collector:0.3.0"
  }
  environment = { QUARRY_ENV = "dev" }
}

run "each_service_has_its_limits" {
  command = plan

  assert {
    condition = { for service, target in aws_appautoscaling_target.tasks : service => "${target.service_namespace} ${target.scalable_dimension} ${target.resource_id} ${target.min_capacity}-${target.max_capacity}" } == {
      preprocessor = "ecs ecs:service:DesiredCount service/dev-quarry/dev-quarry-preprocessor 0-4"
      scheduler    = "ecs ecs:service:DesiredCount service/dev-quarry/dev-quarry-scheduler 1-2"
      collector    = "ecs ecs:service:DesiredCount service/dev-quarry/dev-quarry-collector 0-4"
    }
    error_message = "A scalable target differs."
  }
  assert {
    condition     = one(aws_ecs_cluster.this.setting).value == "enabled"
    error_message = "The number of running tasks is told by Container Insights alone."
  }
}

run "backlog_per_task_counts_all_queues_of_a_service" {
  command = plan

  assert {
    condition = {
      for service, policy in aws_appautoscaling_policy.target : service => one([
        for metric in policy.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics : metric.expression if metric.return_data
      ])
      } == {
      preprocessor = "(manifests_visible + FILL(manifests_in_flight, 0) + slices_visible + FILL(slices_in_flight, 0)) / tasks"
      scheduler    = "(scheduler_visible + FILL(scheduler_in_flight, 0) + events_visible + FILL(events_in_flight, 0) + on_demand_visible + FILL(on_demand_in_flight, 0)) / tasks"
      collector    = "(collector_visible + FILL(collector_in_flight, 0)) / tasks"
    }
    error_message = "A backlog's expression differs."
  }
  assert {
    condition = {
      for metric in aws_appautoscaling_policy.target["preprocessor"].target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics :
      metric.id => join(" ", concat(
        [metric.metric_stat[0].metric[0].namespace, metric.metric_stat[0].metric[0].metric_name, metric.metric_stat[0].stat],
        sort([for dimension in metric.metric_stat[0].metric[0].dimensions : "${dimension.name}=${dimension.value}"]),
      )) if !metric.return_data
      } == {
      manifests_visible   = "AWS/SQS ApproximateNumberOfMessagesVisible Average QueueName=dev-quarry-manifests"
      manifests_in_flight = "AWS/SQS ApproximateNumberOfMessagesNotVisible Average QueueName=dev-quarry-manifests"
      slices_visible      = "AWS/SQS ApproximateNumberOfMessagesVisible Average QueueName=dev-quarry-slices"
      slices_in_flight    = "AWS/SQS ApproximateNumberOfMessagesNotVisible Average QueueName=dev-quarry-slices"
      tasks               = "ECS/ContainerInsights RunningTaskCount Average ClusterName=dev-quarry ServiceName=dev-quarry-preprocessor"
    }
    error_message = "A metric behind the preprocessor's backlog differs."
  }
  assert {
    condition     = { for service, policy in aws_appautoscaling_policy.target : service => policy.target_tracking_scaling_policy_configuration[0].target_value } == { preprocessor = 4, scheduler = 100, collector = 4 }
    error_message = "A target differs."
  }
}

run "only_what_may_sleep_is_woken" {
  command = plan

  assert {
    condition     = alltrue([for things in [aws_appautoscaling_policy.wake, aws_appautoscaling_policy.sleep, aws_cloudwatch_metric_alarm.wake, aws_cloudwatch_metric_alarm.sleep] : keys(things) == ["collector", "preprocessor"]])
    error_message = "The scheduler stays up by default: the sweep's message comes every five minutes."
  }
  assert {
    condition     = alltrue([for policy in aws_appautoscaling_policy.wake : policy.step_scaling_policy_configuration[0].adjustment_type == "ChangeInCapacity" && [for step in policy.step_scaling_policy_configuration[0].step_adjustment : "${step.metric_interval_lower_bound} ${step.scaling_adjustment}"] == ["0 1"]])
    error_message = "Waking adds one task, and never takes one away."
  }
  assert {
    condition     = alltrue([for policy in aws_appautoscaling_policy.sleep : policy.step_scaling_policy_configuration[0].adjustment_type == "ExactCapacity" && [for step in policy.step_scaling_policy_configuration[0].step_adjustment : "${step.metric_interval_upper_bound} ${step.scaling_adjustment}"] == ["0 0"]])
    error_message = "Sleeping is zero tasks."
  }
}

run "wakes_when_messages_wait_and_no_task_runs" {
  command = plan

  assert {
    condition = { for service, alarm in aws_cloudwatch_metric_alarm.wake : service => one([for query in alarm.metric_query : query.expression if query.return_data == true]) } == {
      preprocessor = "IF((FILL(manifests_visible, 0) + FILL(slices_visible, 0)) > 0 AND FILL(tasks, 0) < 1, 1, 0)"
      collector    = "IF((FILL(collector_visible, 0)) > 0 AND FILL(tasks, 0) < 1, 1, 0)"
    }
    error_message = "A wake expression differs."
  }
  assert {
    condition = alltrue([for alarm in aws_cloudwatch_metric_alarm.wake :
      alarm.comparison_operator == "GreaterThanOrEqualToThreshold" && alarm.threshold == 1
      && alarm.evaluation_periods == 5 && alarm.datapoints_to_alarm == 3 && alarm.treat_missing_data == "notBreaching"
    ])
    error_message = "A wake alarm's condition differs."
  }
  assert {
    condition = sort(flatten([for query in aws_cloudwatch_metric_alarm.wake["preprocessor"].metric_query : [for metric in query.metric : "${query.id} ${metric.metric_name} ${metric.period} ${jsonencode(metric.dimensions)}"]])) == tolist([
      "manifests_visible ApproximateNumberOfMessagesVisible 60 {\"QueueName\":\"dev-quarry-manifests\"}",
      "slices_visible ApproximateNumberOfMessagesVisible 60 {\"QueueName\":\"dev-quarry-slices\"}",
      "tasks RunningTaskCount 60 {\"ClusterName\":\"dev-quarry\",\"ServiceName\":\"dev-quarry-preprocessor\"}",
    ])
    error_message = "A metric behind the preprocessor's wake alarm differs."
  }
}

run "sleeps_when_all_its_queues_were_empty_long_enough" {
  command = plan

  variables {
    autoscaling = { idle_minutes = 30 }
  }

  assert {
    condition = { for service, alarm in aws_cloudwatch_metric_alarm.sleep : service => one([for query in alarm.metric_query : query.expression if query.return_data == true]) } == {
      preprocessor = "manifests_visible + FILL(manifests_in_flight, 0) + slices_visible + FILL(slices_in_flight, 0)"
      collector    = "collector_visible + FILL(collector_in_flight, 0)"
    }
    error_message = "A sleep expression differs."
  }
  assert {
    condition = alltrue([for alarm in aws_cloudwatch_metric_alarm.sleep :
      alarm.comparison_operator == "LessThanOrEqualToThreshold" && alarm.threshold == 0
      && alarm.evaluation_periods == 30 && alarm.datapoints_to_alarm == 30 && alarm.treat_missing_data == "notBreaching"
    ])
    error_message = "Every minute of the thirty must have been empty."
  }
}

run "a_scheduler_may_sleep_if_told_so" {
  command = plan

  variables {
    services = { scheduler = { tasks_min = 0 }, collector = { tasks_min = 1 } }
  }

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.wake) == ["preprocessor", "scheduler"] && aws_appautoscaling_target.tasks["scheduler"].min_capacity == 0 && aws_appautoscaling_target.tasks["collector"].min_capacity == 1
    error_message = "tasks_min decides who sleeps."
  }
}

run "null_turns_it_off_wholly" {
  command = plan

  variables {
    autoscaling = null
    services    = { preprocessor = { tasks_min = 3 } }
  }

  assert {
    condition     = length(aws_appautoscaling_target.tasks) + length(aws_appautoscaling_policy.target) + length(aws_appautoscaling_policy.wake) + length(aws_appautoscaling_policy.sleep) + length(aws_cloudwatch_metric_alarm.wake) + length(aws_cloudwatch_metric_alarm.sleep) + length(aws_ecs_service.scaled) == 0
    error_message = "Nothing of it is left."
  }
  assert {
    condition     = one(aws_ecs_cluster.this.setting).value == "disabled"
    error_message = "Nobody pays for Container Insights then."
  }
  assert {
    condition     = { for service, resource in aws_ecs_service.fixed : resource.name => resource.desired_count } == { dev-quarry-preprocessor-fixed = 3, dev-quarry-scheduler-fixed = 1, dev-quarry-collector-fixed = 1 }
    error_message = "As many tasks as tasks_min, and at least one."
  }
  assert {
    condition = alltrue([for service in aws_ecs_service.fixed :
      service.deployment_circuit_breaker[0].enable && service.deployment_circuit_breaker[0].rollback
      && service.deployment_minimum_healthy_percent == 100 && service.deployment_maximum_percent == 200
      && service.enable_execute_command == false && service.propagate_tags == "SERVICE" && service.launch_type == "FARGATE"
      && service.network_configuration[0].assign_public_ip == false
      && service.network_configuration[0].subnets == toset(["subnet-0a", "subnet-0b"])
      && service.network_configuration[0].security_groups == toset(["sg-0a"])
      && length(service.service_registries) == 1
    ])
    error_message = "A fixed service differs from a scaled one."
  }
}

run "warns_of_more_tasks_than_a_dns_answer_names" {
  command = plan
  variables {
    services = { collector = { tasks_max = 9 } }
  }
  expect_failures = [check.prometheus_sees_every_task]
}

run "refuses_a_most_below_the_least" {
  command = plan
  variables {
    services = { collector = { tasks_min = 3, tasks_max = 2 } }
  }
  expect_failures = [aws_ecs_service.scaled]
}

run "refuses_no_backlog_at_all" {
  command = plan
  variables {
    services = { collector = { backlog_per_task = 0 } }
  }
  expect_failures = [aws_ecs_service.scaled]
}

run "refuses_to_sleep_at_once" {
  command = plan
  variables {
    autoscaling = { idle_minutes = 1 }
  }
  expect_failures = [var.autoscaling]
}

run "refuses_a_cooldown_of_a_day" {
  command = plan
  variables {
    autoscaling = { scale_in_cooldown_s = 86400 }
  }
  expect_failures = [var.autoscaling]
}
