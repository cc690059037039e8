# Everything is named by what it is, so that every ARN is known before anything stands: a policy can be read, and tested, at
# plan time, and two modules that speak of the same queue cannot disagree. The names are those of quarry_core.contract.names.

locals {
  prefix  = "${var.place.env}-quarry"
  here    = "${var.place.region}:${var.place.account_id}"
  arn     = "arn:${var.place.partition}"
  bucket  = "${local.prefix}-${var.place.account_id}"
  dlq     = "${local.prefix}-event-target-dlq"
  table   = "${local.prefix}-ledger"
  rule    = "${local.prefix}-job-events"
  sweep   = "${local.prefix}-sweep"
  ended   = "${local.prefix}-run-ended"
  account = "${local.arn}:iam::${var.place.account_id}"

  queues = {
    for key in ["manifests", "slices", "scheduler", "events", "collector", "on-demand"] : key => {
      name     = "${local.prefix}-${key}"
      arn      = "${local.arn}:sqs:${local.here}:${local.prefix}-${key}"
      dlq_name = "${local.prefix}-${key}-dlq"
      dlq_arn  = "${local.arn}:sqs:${local.here}:${local.prefix}-${key}-dlq"
    }
  }

  roles = {
    for key in ["bedrock", "preprocessor", "scheduler", "collector", "sweep", "server", "execution", "page", "page-execution"] : key => {
      name = "${local.prefix}-${key}"
      arn  = "${local.account}:role/${local.prefix}-${key}"
    }
  }

  # Who reads and who writes below which prefix of the bucket, by what the services' code asks for; to delete is to write.
  # The bucket's policy holds the roles to it, and its tests compare it with the roles' own policies.
  reads = {
    preprocessor = ["inputs", "prompts", "plans", "rows", "batch-input", "again", "results"]
    scheduler    = ["batch-input", "on-demand"]
    collector    = ["inputs", "plans", "rows", "batch-input", "batch-output", "on-demand", "outcomes", "again", "results"]
  }
  writes = {
    preprocessor = ["plans", "rows", "batch-input", "again"]
    scheduler    = ["on-demand"]
    collector    = ["plans", "batch-input", "outcomes", "again", "results"]
  }
}
