# The two outputs that the rest of Quarry reads, value by value. SQS gives a queue its URL when it is made, so here each is given.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place   = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  models  = ["anthropic.claude-3-haiku-20240307-v1:0"]
  runtime = "none"
}

override_resource {
  target          = module.queue["manifests"].aws_sqs_queue.this
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-manifests"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-manifests"
  }
}

override_resource {
  target          = module.queue["manifests"].aws_sqs_queue.dead
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-manifests-dlq"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-manifests-dlq"
  }
}

override_resource {
  target          = module.queue["slices"].aws_sqs_queue.this
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-slices"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices"
  }
}

override_resource {
  target          = module.queue["slices"].aws_sqs_queue.dead
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-slices-dlq"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices-dlq"
  }
}

override_resource {
  target          = module.queue["scheduler"].aws_sqs_queue.this
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-scheduler"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-scheduler"
  }
}

override_resource {
  target          = module.queue["scheduler"].aws_sqs_queue.dead
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-scheduler-dlq"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-scheduler-dlq"
  }
}

override_resource {
  target          = module.queue["events"].aws_sqs_queue.this
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-events"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events"
  }
}

override_resource {
  target          = module.queue["events"].aws_sqs_queue.dead
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-events-dlq"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events-dlq"
  }
}

override_resource {
  target          = module.queue["collector"].aws_sqs_queue.this
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-collector"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-collector"
  }
}

override_resource {
  target          = module.queue["collector"].aws_sqs_queue.dead
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-collector-dlq"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-collector-dlq"
  }
}

override_resource {
  target          = module.queue["on-demand"].aws_sqs_queue.this
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-on-demand"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-on-demand"
  }
}

override_resource {
  target          = module.queue["on-demand"].aws_sqs_queue.dead
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-on-demand-dlq"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-on-demand-dlq"
  }
}

override_resource {
  target          = module.job_events.aws_sqs_queue.undelivered
  override_during = plan
  values = {
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-event-target-dlq"
    arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-event-target-dlq"
  }
}

run "environment" {
  command = plan

  variables {
    job_quota = 7
  }

  # The same keys as Resources.environment() of quarry_local.resources, and the quota.
  assert {
    condition = output.environment == tomap({
      QUARRY_ENV                  = "dev"
      QUARRY_REGION               = "us-east-1"
      QUARRY_BUCKET               = "dev-quarry-123456789012"
      QUARRY_TABLE                = "dev-quarry-ledger"
      QUARRY_BEDROCK_ROLE_ARN     = "arn:aws:iam::123456789012:role/dev-quarry-bedrock"
      QUARRY_EVENT_TARGET_DLQ_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-event-target-dlq"
      QUARRY_JOB_QUOTA            = "7"
      QUARRY_ON_DEMAND            = "true"
      QUARRY_PROMPT_TEXT_DAYS     = "30"
      QUARRY_MANIFEST_QUEUE_URL   = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-manifests"
      QUARRY_MANIFEST_DLQ_URL     = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-manifests-dlq"
      QUARRY_SLICES_QUEUE_URL     = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-slices"
      QUARRY_SLICES_DLQ_URL       = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-slices-dlq"
      QUARRY_SCHEDULER_QUEUE_URL  = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-scheduler"
      QUARRY_SCHEDULER_DLQ_URL    = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-scheduler-dlq"
      QUARRY_EVENTS_QUEUE_URL     = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-events"
      QUARRY_EVENTS_DLQ_URL       = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-events-dlq"
      QUARRY_COLLECTOR_QUEUE_URL  = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-collector"
      QUARRY_COLLECTOR_DLQ_URL    = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-collector-dlq"
      QUARRY_ON_DEMAND_QUEUE_URL  = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-on-demand"
      QUARRY_ON_DEMAND_DLQ_URL    = "https://sqs.us-east-1.amazonaws.com/123456789012/dev-quarry-on-demand-dlq"
    })
    error_message = "The containers' environment differs."
  }
}

run "the_budget_of_the_month_joins_the_environment" {
  command = plan

  variables {
    budget_usd = 250.5
  }

  assert {
    condition     = output.environment["QUARRY_BUDGET_USD"] == "250.5"
    error_message = "The containers do not know the month's budget."
  }
}

run "the_tags_of_jobs_join_the_environment" {
  command = plan

  variables {
    job_tags = { team = "search", cost-center = "4711", "owner/mail" = "a=b@c", empty = "" }
  }

  # Read by quarry_core.contract.job_tags; tests/unit/core/test_job_tags.py reads this text.
  assert {
    condition     = output.environment["QUARRY_JOB_TAGS"] == "cost-center=4711,empty=,owner/mail=a=b@c,team=search"
    error_message = "The containers do not know the tags of jobs."
  }
}

run "in_a_cluster_tags_and_budget_are_known_too" {
  command = plan

  variables {
    job_tags           = { team = "search" }
    budget_usd         = 250.5
    read_batch_metrics = true
  }

  assert {
    condition     = output.helm_values.jobTags.team == "search" && output.helm_values.budgetUsd == 250.5 && output.helm_values.readBatchMetrics
    error_message = "The chart's config block lacks what the containers of other runtimes are told."
  }
}

run "further_settings_join_the_environment" {
  command = plan

  variables {
    settings = { QUARRY_LOG_LEVEL = "DEBUG", MAX_RECORDS_PER_JOB = "300" }
  }

  assert {
    condition     = output.environment.QUARRY_LOG_LEVEL == "DEBUG" && output.environment.MAX_RECORDS_PER_JOB == "300" && length(output.environment) == 23
    error_message = "Settings must stand beside what Terraform makes."
  }
}

# The file is held against the chart's schema by the Python tests.
run "helm_values" {
  command = plan

  assert {
    condition     = output.helm_values == jsondecode(file("tests/helm_values.json"))
    error_message = "The chart's config block differs."
  }
}
