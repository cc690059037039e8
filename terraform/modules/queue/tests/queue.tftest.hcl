# The attributes are those that `quarry local up` gives its queues.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  key   = "slices"
}

run "a_queue_and_its_dead_letters" {
  command = plan

  assert {
    condition = {
      name       = aws_sqs_queue.this.name
      bytes      = aws_sqs_queue.this.max_message_size
      retention  = aws_sqs_queue.this.message_retention_seconds
      visibility = aws_sqs_queue.this.visibility_timeout_seconds
      sse        = aws_sqs_queue.this.sqs_managed_sse_enabled
      keyless    = aws_sqs_queue.this.kms_master_key_id == null
      fifo       = aws_sqs_queue.this.fifo_queue
      } == {
      name       = "dev-quarry-slices"
      bytes      = 262144
      retention  = 345600
      visibility = 120
      sse        = true
      keyless    = true
      fifo       = false
    }
    error_message = "The queue differs."
  }

  assert {
    condition = jsondecode(aws_sqs_queue.this.redrive_policy) == {
      deadLetterTargetArn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices-dlq"
      maxReceiveCount     = 30
    }
    error_message = "The redrive policy differs."
  }

  assert {
    condition = {
      name      = aws_sqs_queue.dead.name
      bytes     = aws_sqs_queue.dead.max_message_size
      retention = aws_sqs_queue.dead.message_retention_seconds
      sse       = aws_sqs_queue.dead.sqs_managed_sse_enabled
      keyless   = aws_sqs_queue.dead.kms_master_key_id == null
      } == {
      name      = "dev-quarry-slices-dlq"
      bytes     = 262144
      retention = 1209600
      sse       = true
      keyless   = true
    }
    error_message = "The dead-letter queue differs."
  }

  assert {
    condition = jsondecode(aws_sqs_queue.dead.redrive_allow_policy) == {
      redrivePermission = "byQueue"
      sourceQueueArns   = ["arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices"]
    }
    error_message = "Only the queue itself may redrive to its dead-letter queue."
  }

  # Whole they are compared in module queue_policy.
  assert {
    condition = [
      for policy in [aws_sqs_queue.this.policy, aws_sqs_queue.dead.policy] :
      [for statement in jsondecode(policy).Statement : "${statement.Sid} ${statement.Resource}"]
      ] == [
      ["DenyPlainHttp arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices"],
      ["DenyPlainHttp arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices-dlq"],
    ]
    error_message = "Each of the two queues has its own policy."
  }

  assert {
    condition     = output.name == "dev-quarry-slices" && output.dlq_name == "dev-quarry-slices-dlq"
    error_message = "The outputs differ."
  }
}

run "only_the_rule_delivers_events" {
  command = plan

  variables {
    key            = "events"
    event_rule_arn = "arn:aws:events:us-east-1:123456789012:rule/dev-quarry-job-events"
  }

  assert {
    condition = jsondecode(output.policy_json) == jsondecode(aws_sqs_queue.this.policy) && [
      for statement in jsondecode(output.policy_json).Statement : "${statement.Sid} ${statement.Resource}"
      ] == [
      "OnlyTheRuleDelivers arn:aws:sqs:us-east-1:123456789012:dev-quarry-events",
      "DenyPlainHttp arn:aws:sqs:us-east-1:123456789012:dev-quarry-events",
    ]
    error_message = "The policy of the events queue differs."
  }

  assert {
    condition     = jsondecode(output.policy_json).Statement[0].Condition.ArnEquals["aws:SourceArn"] == var.event_rule_arn
    error_message = "The rule that delivers must be the one that is given."
  }
}

run "every_queue_has_its_name" {
  command = plan

  variables {
    key = "manifests"
  }

  assert {
    condition     = aws_sqs_queue.this.name == "dev-quarry-manifests" && aws_sqs_queue.dead.name == "dev-quarry-manifests-dlq"
    error_message = "The names differ."
  }
}

run "a_key_in_place_of_managed_encryption" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }

  assert {
    condition = (
      aws_sqs_queue.this.kms_master_key_id == var.kms_key_arn && aws_sqs_queue.dead.kms_master_key_id == var.kms_key_arn
    )
    error_message = "Both queues must use the key."
  }
}

run "other_numbers" {
  command = plan

  variables {
    visibility_timeout_s = 600
    receive_count_max    = 5
    retention_s          = 3600
    dead_retention_s     = 7200
  }

  assert {
    condition = (
      aws_sqs_queue.this.visibility_timeout_seconds == 600 &&
      jsondecode(aws_sqs_queue.this.redrive_policy).maxReceiveCount == 5 &&
      aws_sqs_queue.this.message_retention_seconds == 3600 &&
      aws_sqs_queue.dead.message_retention_seconds == 7200
    )
    error_message = "The numbers given must be the numbers used."
  }
}

run "refuses_a_queue_that_quarry_does_not_have" {
  command = plan

  variables {
    key = "results"
  }

  expect_failures = [var.key]
}

run "refuses_to_keep_dead_letters_no_longer_than_the_queue" {
  command = plan

  variables {
    retention_s      = 345600
    dead_retention_s = 345600
  }

  expect_failures = [var.dead_retention_s]
}

run "refuses_dead_letters_beyond_what_sqs_keeps" {
  command = plan

  variables {
    dead_retention_s = 1209601
  }

  expect_failures = [var.dead_retention_s]
}

run "refuses_numbers_out_of_bounds" {
  command = plan

  variables {
    visibility_timeout_s = 9
    receive_count_max    = 0
    retention_s          = 59
  }

  expect_failures = [var.visibility_timeout_s, var.receive_count_max, var.retention_s]
}

run "refuses_an_alias" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:alias/quarry"
  }

  expect_failures = [var.kms_key_arn]
}

run "refuses_a_pattern_of_rules" {
  command = plan

  variables {
    event_rule_arn = "arn:aws:events:us-east-1:123456789012:rule/*"
  }

  expect_failures = [var.event_rule_arn]
}
