# The message is compared as text: it must stay what quarry_core.contract.messages reads.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place               = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  scheduler_queue_arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-scheduler"
}

run "the_schedule" {
  command = plan

  assert {
    condition = {
      name       = aws_scheduler_schedule.sweep.name
      group      = aws_scheduler_schedule.sweep.group_name
      expression = aws_scheduler_schedule.sweep.schedule_expression
      state      = aws_scheduler_schedule.sweep.state
      window     = aws_scheduler_schedule.sweep.flexible_time_window[0].mode
      queue      = aws_scheduler_schedule.sweep.target[0].arn
      role       = aws_scheduler_schedule.sweep.target[0].role_arn
      message    = aws_scheduler_schedule.sweep.target[0].input
      age        = aws_scheduler_schedule.sweep.target[0].retry_policy[0].maximum_event_age_in_seconds
      retries    = aws_scheduler_schedule.sweep.target[0].retry_policy[0].maximum_retry_attempts
      } == {
      name       = "dev-quarry-sweep"
      group      = "default"
      expression = "rate(5 minutes)"
      state      = "ENABLED"
      window     = "OFF"
      queue      = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-scheduler"
      role       = "arn:aws:iam::123456789012:role/dev-quarry-sweep"
      message    = "{\"v\":2,\"step\":\"sweep\"}"
      age        = 300
      retries    = 5
    }
    error_message = "The schedule differs."
  }
}

run "the_role_trusts_scheduler_for_this_account_and_group" {
  command = plan

  assert {
    condition     = aws_iam_role.sweep.name == "dev-quarry-sweep" && aws_iam_role.sweep.permissions_boundary == null
    error_message = "The role differs."
  }

  assert {
    condition = jsondecode(aws_iam_role.sweep.assume_role_policy) == {
      Version = "2012-10-17"
      Statement = [{
        Sid       = "SchedulerOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "scheduler.amazonaws.com" }
        Action    = "sts:AssumeRole"
        Condition = {
          StringEquals = { "aws:SourceAccount" = "123456789012" }
          ArnEquals    = { "aws:SourceArn" = "arn:aws:scheduler:us-east-1:123456789012:schedule-group/default" }
        }
      }]
    }
    error_message = "The trust policy differs."
  }

  assert {
    condition = aws_iam_role_policy.access.role == "dev-quarry-sweep" && jsondecode(aws_iam_role_policy.access.policy) == {
      Version = "2012-10-17"
      Statement = [{
        Sid      = "WakeTheScheduler"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-scheduler"
      }]
    }
    error_message = "The role's policy differs."
  }
}

run "a_key_is_used_through_sqs_alone" {
  command = plan

  variables {
    kms_key_arn              = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/boundary"
  }

  assert {
    condition     = aws_iam_role.sweep.permissions_boundary == "arn:aws:iam::123456789012:policy/boundary"
    error_message = "The boundary must be the role's."
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.access.policy) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "WakeTheScheduler"
          Effect   = "Allow"
          Action   = "sqs:SendMessage"
          Resource = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-scheduler"
        },
        {
          Sid       = "EncryptForTheQueue"
          Effect    = "Allow"
          Action    = ["kms:GenerateDataKey", "kms:Decrypt"]
          Resource  = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
          Condition = { StringEquals = { "kms:ViaService" = "sqs.us-east-1.amazonaws.com" } }
        },
      ]
    }
    error_message = "The role's policy with a key differs."
  }
}

run "every_minute_is_singular" {
  command = plan

  variables {
    every_minutes = 1
  }

  assert {
    condition = (
      aws_scheduler_schedule.sweep.schedule_expression == "rate(1 minute)" &&
      aws_scheduler_schedule.sweep.target[0].retry_policy[0].maximum_event_age_in_seconds == 60
    )
    error_message = "EventBridge Scheduler knows `rate(1 minute)` only, and 60 seconds is its shortest age."
  }
}

run "refuses_half_a_minute" {
  command = plan

  variables {
    every_minutes = 0.5
  }

  expect_failures = [var.every_minutes]
}

run "refuses_more_than_an_hour" {
  command = plan

  variables {
    every_minutes = 61
  }

  expect_failures = [var.every_minutes]
}

run "refuses_another_queue" {
  command = plan

  variables {
    scheduler_queue_arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events"
  }

  expect_failures = [var.scheduler_queue_arn]
}

run "refuses_an_alias_and_a_role_as_boundary" {
  command = plan

  variables {
    kms_key_arn              = "alias/quarry"
    permissions_boundary_arn = "arn:aws:iam::123456789012:role/boundary"
  }

  expect_failures = [var.kms_key_arn, var.permissions_boundary_arn]
}
