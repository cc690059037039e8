# The policies are compared whole.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  queue_arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events"
}

run "nobody_over_plain_http" {
  command = plan

  assert {
    condition = jsondecode(output.json) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid       = "DenyPlainHttp"
          Effect    = "Deny"
          Principal = "*"
          Action    = "sqs:*"
          Resource  = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events"
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        },
      ]
    }
    error_message = "The policy of a queue without a rule differs."
  }
}

run "only_the_rule_delivers" {
  command = plan

  variables {
    event_rule_arn = "arn:aws:events:us-east-1:123456789012:rule/dev-quarry-job-events"
  }

  assert {
    condition = jsondecode(output.json) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid       = "OnlyTheRuleDelivers"
          Effect    = "Allow"
          Principal = { Service = "events.amazonaws.com" }
          Action    = "sqs:SendMessage"
          Resource  = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events"
          Condition = {
            ArnEquals = { "aws:SourceArn" = "arn:aws:events:us-east-1:123456789012:rule/dev-quarry-job-events" }
          }
        },
        {
          Sid       = "DenyPlainHttp"
          Effect    = "Deny"
          Principal = "*"
          Action    = "sqs:*"
          Resource  = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events"
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        },
      ]
    }
    error_message = "The policy of a queue that a rule delivers to differs."
  }
}
