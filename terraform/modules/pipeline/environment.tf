# What a container has to know: the same variables as `quarry local env` prints, and the quota.

locals {
  queue_variables = {
    for key, queue in module.queue : key => "QUARRY_${key == "manifests" ? "MANIFEST" : upper(replace(key, "-", "_"))}"
  }

  environment = tomap(merge(
    {
      QUARRY_ENV                  = var.place.env
      QUARRY_REGION               = var.place.region
      QUARRY_BUCKET               = module.data_bucket.bucket
      QUARRY_TABLE                = module.ledger.table
      QUARRY_BEDROCK_ROLE_ARN     = module.names.roles["bedrock"].arn
      QUARRY_EVENT_TARGET_DLQ_URL = module.job_events.target_dlq_url
      QUARRY_JOB_QUOTA            = tostring(var.job_quota)
      QUARRY_ON_DEMAND            = tostring(var.on_demand)
      QUARRY_PROMPT_TEXT_DAYS     = tostring(var.prompt_text_days)
    },
    { for key, queue in module.queue : "${local.queue_variables[key]}_QUEUE_URL" => queue.url },
    { for key, queue in module.queue : "${local.queue_variables[key]}_DLQ_URL" => queue.dlq_url },
    var.budget_usd == null ? {} : { QUARRY_BUDGET_USD = tostring(var.budget_usd) },
    length(var.job_tags) == 0 ? {} : { QUARRY_JOB_TAGS = join(",", [for key, value in var.job_tags : "${key}=${value}"]) },
    var.read_batch_metrics ? { QUARRY_READ_BATCH_METRICS = "true" } : {},
    var.settings,
  ))
}
