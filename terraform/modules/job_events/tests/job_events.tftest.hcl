# Rule, target and policy are those that `quarry local up` makes; Terraform adds the denial of plain HTTP.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place            = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  events_queue_arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events"
}

run "the_rule_and_its_target" {
  command = plan

  assert {
    condition = {
      name        = aws_cloudwatch_event_rule.jobs.name
      description = aws_cloudwatch_event_rule.jobs.description
      state       = aws_cloudwatch_event_rule.jobs.state
      bus         = aws_cloudwatch_event_rule.jobs.event_bus_name
      } == {
      name        = "dev-quarry-job-events"
      description = "Bedrock's batch jobs of environment dev"
      state       = "ENABLED"
      bus         = "default"
    }
    error_message = "The rule differs."
  }

  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.jobs.event_pattern) == {
      source      = ["aws.bedrock"]
      detail-type = ["Batch Inference Job State Change"]
      detail      = { batchJobName = [{ suffix = "-dev" }] }
    }
    error_message = "The pattern differs."
  }

  assert {
    condition = {
      rule     = aws_cloudwatch_event_target.queue.rule
      id       = aws_cloudwatch_event_target.queue.target_id
      arn      = aws_cloudwatch_event_target.queue.arn
      age      = aws_cloudwatch_event_target.queue.retry_policy[0].maximum_event_age_in_seconds
      retries  = aws_cloudwatch_event_target.queue.retry_policy[0].maximum_retry_attempts
      dead     = aws_cloudwatch_event_target.queue.dead_letter_config[0].arn
      roleless = aws_cloudwatch_event_target.queue.role_arn == null
      } == {
      rule     = "dev-quarry-job-events"
      id       = "events-queue"
      arn      = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events"
      age      = 86400
      retries  = 185
      dead     = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-event-target-dlq"
      roleless = true
    }
    error_message = "The target differs."
  }
}

run "what_could_not_be_delivered" {
  command = plan

  assert {
    condition = {
      name      = aws_sqs_queue.undelivered.name
      retention = aws_sqs_queue.undelivered.message_retention_seconds
      sse       = aws_sqs_queue.undelivered.sqs_managed_sse_enabled
      keyless   = aws_sqs_queue.undelivered.kms_master_key_id == null
      } == {
      name      = "dev-quarry-event-target-dlq"
      retention = 1209600
      sse       = true
      keyless   = true
    }
    error_message = "The target's dead-letter queue differs."
  }

  # Whole it is compared in module queue_policy.
  assert {
    condition = [for statement in jsondecode(aws_sqs_queue.undelivered.policy).Statement : "${statement.Sid} ${statement.Resource}"] == [
      "OnlyTheRuleDelivers arn:aws:sqs:us-east-1:123456789012:dev-quarry-event-target-dlq",
      "DenyPlainHttp arn:aws:sqs:us-east-1:123456789012:dev-quarry-event-target-dlq",
    ]
    error_message = "The policy of the target's dead-letter queue differs."
  }

  assert {
    condition = (
      jsondecode(aws_sqs_queue.undelivered.policy).Statement[0].Condition.ArnEquals["aws:SourceArn"]
      == "arn:aws:events:us-east-1:123456789012:rule/dev-quarry-job-events"
    )
    error_message = "Only the rule of this environment's jobs delivers."
  }
}

run "a_key_and_other_numbers" {
  command = plan

  variables {
    kms_key_arn       = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    event_age_max_s   = 3600
    event_retries_max = 0
  }

  assert {
    condition = (
      aws_sqs_queue.undelivered.kms_master_key_id == var.kms_key_arn &&
      aws_cloudwatch_event_target.queue.retry_policy[0].maximum_event_age_in_seconds == 3600 &&
      aws_cloudwatch_event_target.queue.retry_policy[0].maximum_retry_attempts == 0
    )
    error_message = "What is given must be what is used."
  }
}

run "refuses_the_queue_of_another_environment" {
  command = plan

  variables {
    events_queue_arn = "arn:aws:sqs:us-east-1:123456789012:prod-quarry-events"
  }

  expect_failures = [var.events_queue_arn]
}

run "refuses_numbers_out_of_bounds" {
  command = plan

  variables {
    event_age_max_s   = 86401
    event_retries_max = 186
  }

  expect_failures = [var.event_age_max_s, var.event_retries_max]
}

run "refuses_an_alias" {
  command = plan

  variables {
    kms_key_arn = "alias/quarry"
  }

  expect_failures = [var.kms_key_arn]
}
