# Names and ARNs are compared letter by letter: queues, policies and the services rely on them.

variables {
  place = { env = "dev", region = "us-east-1", account_id = "123456789012" }
}

run "every_name" {
  command = plan

  assert {
    condition = {
      bucket               = output.bucket
      bucket_arn           = output.bucket_arn
      table                = output.table
      table_arn            = output.table_arn
      rule                 = output.rule
      rule_arn             = output.rule_arn
      event_bus_arn        = output.event_bus_arn
      event_target_dlq     = output.event_target_dlq
      event_target_dlq_arn = output.event_target_dlq_arn
      schedule             = output.schedule
      schedule_arn         = output.schedule_arn
      operator_policy      = output.operator_policy
      jobs_arn             = output.jobs_arn
      } == {
      bucket               = "dev-quarry-123456789012"
      bucket_arn           = "arn:aws:s3:::dev-quarry-123456789012"
      table                = "dev-quarry-ledger"
      table_arn            = "arn:aws:dynamodb:us-east-1:123456789012:table/dev-quarry-ledger"
      rule                 = "dev-quarry-job-events"
      rule_arn             = "arn:aws:events:us-east-1:123456789012:rule/dev-quarry-job-events"
      event_bus_arn        = "arn:aws:events:us-east-1:123456789012:event-bus/default"
      event_target_dlq     = "dev-quarry-event-target-dlq"
      event_target_dlq_arn = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-event-target-dlq"
      schedule             = "dev-quarry-sweep"
      schedule_arn         = "arn:aws:scheduler:us-east-1:123456789012:schedule/default/dev-quarry-sweep"
      operator_policy      = "dev-quarry-operator"
      jobs_arn             = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/*"
    }
    error_message = "A name or an ARN differs."
  }

  assert {
    condition = keys(output.queues) == ["collector", "events", "manifests", "on-demand", "scheduler", "slices"] && output.queues.slices == {
      name     = "dev-quarry-slices"
      arn      = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices"
      dlq_name = "dev-quarry-slices-dlq"
      dlq_arn  = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices-dlq"
    }
    error_message = "The queues differ."
  }

  assert {
    condition = (
      keys(output.roles) == ["bedrock", "collector", "execution", "page", "page-execution", "preprocessor", "scheduler", "server", "sweep"] &&
      output.roles.bedrock == { name = "dev-quarry-bedrock", arn = "arn:aws:iam::123456789012:role/dev-quarry-bedrock" }
    )
    error_message = "The roles differ."
  }

  assert {
    condition = (
      toset(output.services) == toset(keys(output.reads)) && toset(output.services) == toset(keys(output.writes))
    )
    error_message = "Each service must say what it reads and what it writes."
  }
}

run "another_partition" {
  command = plan
  variables {
    place = { env = "gov", region = "us-gov-west-1", account_id = "123456789012", partition = "aws-us-gov" }
  }
  assert {
    condition     = output.queues.events.arn == "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:gov-quarry-events"
    error_message = "The partition must stand in every ARN."
  }
  assert {
    condition     = output.bucket_arn == "arn:aws-us-gov:s3:::gov-quarry-123456789012"
    error_message = "The partition must stand in the bucket's ARN."
  }
}

run "an_environment_of_nine_letters" {
  command = plan
  variables { place = { env = "stagingxx", region = "us-east-1", account_id = "123456789012" } }
  expect_failures = [var.place]
}

run "an_environment_with_a_dash" {
  command = plan
  variables { place = { env = "dev-1", region = "us-east-1", account_id = "123456789012" } }
  expect_failures = [var.place]
}

run "a_region_that_is_a_zone" {
  command = plan
  variables { place = { env = "dev", region = "us-east-1a", account_id = "123456789012" } }
  expect_failures = [var.place]
}

run "an_account_that_lost_its_leading_zero" {
  command = plan
  variables { place = { env = "dev", region = "us-east-1", account_id = "12345678901" } }
  expect_failures = [var.place]
}

run "a_partition_of_other_regions" {
  command = plan
  variables { place = { env = "dev", region = "us-gov-west-1", account_id = "123456789012" } }
  expect_failures = [var.place]
}
