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
}

run "the_rule_hears_this_environments_ends_alone" {
  command = plan

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.ended.event_pattern) == { source = ["quarry.dev"], detail-type = ["Run Ended"] } && aws_cloudwatch_event_rule.ended.name == "dev-quarry-run-ended" && aws_cloudwatch_event_rule.ended.event_bus_name == "default"
    error_message = "The rule differs."
  }
  assert {
    condition     = aws_cloudwatch_event_target.topic.rule == "dev-quarry-run-ended" && aws_cloudwatch_event_target.topic.retry_policy[0].maximum_event_age_in_seconds == 86400
    error_message = "The target differs."
  }
}

run "nobody_else_publishes_or_delivers" {
  command = plan

  assert {
    condition = [for statement in jsondecode(data.aws_iam_policy_document.topic.json).Statement : statement if contains(flatten([statement.Action]), "sns:Publish")] == [{
      Sid       = "OnlyTheRulePublishes"
      Effect    = "Allow"
      Action    = "sns:Publish"
      Resource  = "arn:aws:sns:us-east-1:123456789012:dev-quarry-run-ended"
      Principal = { Service = "events.amazonaws.com" }
      Condition = { ArnEquals = { "aws:SourceArn" = "arn:aws:events:us-east-1:123456789012:rule/dev-quarry-run-ended" } }
    }]
    error_message = "The topic's policy differs."
  }
  assert {
    condition = [for statement in jsondecode(module.undelivered_policy.json).Statement : "${statement.Effect} ${statement.Resource}"] == [
      "Allow arn:aws:sqs:us-east-1:123456789012:dev-quarry-run-ended-dlq",
      "Deny arn:aws:sqs:us-east-1:123456789012:dev-quarry-run-ended-dlq",
    ]
    error_message = "The dead-letter queue's policy differs."
  }
}

run "encrypted_with_a_key" {
  command = plan
  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }
  assert {
    condition     = aws_sns_topic.ended.kms_master_key_id == var.kms_key_arn && aws_sqs_queue.undelivered.kms_master_key_id == var.kms_key_arn
    error_message = "Both are encrypted with the key."
  }
}

run "refuses_an_alias" {
  command = plan
  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:alias/x"
  }
  expect_failures = [var.kms_key_arn]
}
