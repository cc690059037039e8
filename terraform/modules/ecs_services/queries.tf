# Ready queries over the three services' logs, in the console of CloudWatch Logs Insights under `<env>-quarry`. Saved queries have
# no variables: in those about one run, RUN_ID is to be replaced. docs/logs.md has the same queries; a test compares the two.

locals {
  queries = var.log_queries ? {
    one-run       = "fields @timestamp, service, event, shard, attempt, @message | filter run_id = \"RUN_ID\" or @message like \"RUN_ID\" | sort @timestamp asc | limit 1000"
    one-run-story = "filter run_id = \"RUN_ID\" and event in [\"accepted\", \"planned\", \"refused\", \"repeat\", \"run_broken\", \"run_ended\"] | fields @timestamp, service, event, shard, why, state, code | sort @timestamp asc | limit 1000"
    failures      = "filter level in [\"error\", \"critical\"] | stats count(*) as lines, earliest(@timestamp) as first, latest(@timestamp) as last by service, event, why | sort lines desc | limit 100"
    dead-lettered = "filter event = \"dead_lettered\" | stats count(*) as messages, latest(@timestamp) as last by queue, why | sort messages desc | limit 100"
    runs-ended    = "filter event = \"run_ended\" | fields @timestamp, run_id, state, code, accepted, ok, error, cancelled_by | sort @timestamp desc | limit 500"
    sweeps-fixed  = "filter event = \"swept\" | stats count(*) as sweeps by bin(1h) | sort @timestamp asc"
  } : {}
}

resource "aws_cloudwatch_query_definition" "ready" {
  for_each = local.queries

  name            = "${local.prefix}/${each.key}"
  query_string    = each.value
  log_group_names = [for service in keys(local.services) : aws_cloudwatch_log_group.service[service].name]
}
