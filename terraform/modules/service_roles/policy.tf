# What each service asks of AWS, call by call as its code makes them. The README has the table with the reasons, and
# quarry_local.policies the same statements for emulators.

locals {
  # Whether records may be asked on demand: only then the scheduler reads what is asked, and writes what is answered.
  asks         = length(var.on_demand_arns) > 0
  item_actions = ["GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem"]

  # `gets` holds what a service writes too: who finds an object standing looks whether it is its own. Of `puts`, `uploads`
  # are written in upload parts. `counts` are queues beyond those that it reads, by ARN.
  readings = {
    preprocessor = {
      receives = ["manifests", "slices"]
      wakes    = ["manifests", "slices", "scheduler", "collector", "on-demand"]
      counts   = []
      items    = local.item_actions
      gets     = ["inputs", "prompts", "plans", "rows", "batch-input", "again", "results"]
      puts     = ["plans", "rows", "batch-input", "again"]
      uploads  = ["rows", "batch-input", "again"]
      deletes  = []
    }
    scheduler = {
      receives = ["scheduler", "events", "on-demand"]
      wakes    = ["slices", "collector", "on-demand"]
      counts   = [module.names.queues["slices"].arn, module.names.queues["collector"].arn, module.names.event_target_dlq_arn]
      items    = concat(local.item_actions, ["BatchGetItem"])
      gets     = local.asks ? ["batch-input", "on-demand"] : []
      puts     = local.asks ? ["on-demand"] : []
      uploads  = local.asks ? ["on-demand"] : []
      deletes  = []
    }
    collector = {
      receives = ["collector"]
      wakes    = ["scheduler", "collector", "on-demand"]
      counts   = []
      items    = local.item_actions
      gets     = ["inputs", "plans", "rows", "batch-input", "batch-output", "on-demand", "outcomes", "again", "results"]
      puts     = ["plans", "batch-input", "outcomes", "again", "results"]
      uploads  = ["batch-input", "outcomes", "again", "results"]
      deletes  = ["batch-input"]
    }
  }
  # Where sources stand: the one thing that is pinned for days, and asked for by its version when it was overwritten. The
  # results of an earlier run may be a source too; nothing overwrites them.
  sources = "inputs"

  objects = {
    for service, reading in local.readings : service => [
      for statement in [
        { sid = "ReadObjects", action = "s3:GetObject", prefixes = reading.gets },
        { sid = "ReadPinnedVersions", action = "s3:GetObjectVersion", prefixes = [for prefix in reading.gets : prefix if prefix == local.sources] },
        { sid = "WriteObjects", action = "s3:PutObject", prefixes = reading.puts },
        { sid = "AbortUploads", action = "s3:AbortMultipartUpload", prefixes = reading.uploads },
        { sid = "DeleteObjects", action = "s3:DeleteObject", prefixes = reading.deletes },
      ] : statement if length(statement.prefixes) > 0
    ]
  }
  reads_sources = { for service, reading in local.readings : service => contains(reading.gets, local.sources) }

  # Over which services of AWS the environment's key is used: what is read is decrypted, also the ledger's table key; what
  # is written to bucket and queues gets a data key.
  decrypts_by = { for service, reading in local.readings : service => concat(length(reading.gets) > 0 ? ["s3"] : [], ["sqs", "dynamodb"]) }
  encrypts_by = { for service, reading in local.readings : service => concat(length(reading.puts) > 0 ? ["s3"] : [], ["sqs"]) }
}

data "aws_iam_policy_document" "access" {
  for_each = local.readings

  statement {
    sid       = "TakeMessages"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    resources = [for key in each.value.receives : module.names.queues[key].arn]
  }

  statement {
    sid       = "SendMessages"
    actions   = ["sqs:SendMessage"]
    resources = [for key in each.value.wakes : module.names.queues[key].arn]
  }

  statement {
    sid       = "DeadLetterMessages"
    actions   = ["sqs:SendMessage"]
    resources = [for key in each.value.receives : module.names.queues[key].dlq_arn]
  }

  statement {
    sid     = "CountMessages"
    actions = ["sqs:GetQueueAttributes"]
    resources = concat(
      [for key in each.value.receives : module.names.queues[key].arn],
      [for key in each.value.receives : module.names.queues[key].dlq_arn],
      each.value.counts,
    )
  }

  # A transaction is no IAM action: the item actions are what it is checked by.
  statement {
    sid       = "KeepLedger"
    actions   = [for action in each.value.items : "dynamodb:${action}"]
    resources = [module.names.table_arn]
  }

  dynamic "statement" {
    for_each = local.objects[each.key]

    content {
      sid       = statement.value.sid
      actions   = [statement.value.action]
      resources = [for prefix in statement.value.prefixes : "${module.names.bucket_arn}/${prefix}/*"]
    }
  }

  # Without List, S3 answers 403 where there is no such key, and "not there yet" is what the code goes by (an outcome that
  # nobody wrote, a source that was deleted). Such a GET or HEAD bears no s3:prefix, hence IfExists; a listing that names a
  # prefix must name one that may be read.
  dynamic "statement" {
    for_each = length(each.value.gets) > 0 ? [each.value.gets] : []

    content {
      sid       = "ListObjects"
      actions   = ["s3:ListBucket"]
      resources = [module.names.bucket_arn]

      condition {
        test     = "StringLikeIfExists"
        variable = "s3:prefix"
        values   = [for prefix in statement.value : "${prefix}/*"]
      }
    }
  }

  dynamic "statement" {
    for_each = local.reads_sources[each.key] && length(var.source_buckets) > 0 ? [var.source_buckets] : []

    content {
      sid       = "ReadSourceBuckets"
      actions   = ["s3:GetObject", "s3:GetObjectVersion"]
      resources = [for name in statement.value : "arn:${var.place.partition}:s3:::${name}/*"]
    }
  }

  # A source may be a folder or a pattern, at any key. The collector lists none: for it, this only distinguishes a source that
  # was deleted from one that may not be read.
  dynamic "statement" {
    for_each = local.reads_sources[each.key] && length(var.source_buckets) > 0 ? [var.source_buckets] : []

    content {
      sid       = "ListSourceBuckets"
      actions   = ["s3:ListBucket"]
      resources = [for name in statement.value : "arn:${var.place.partition}:s3:::${name}"]
    }
  }

  dynamic "statement" {
    for_each = local.reads_sources[each.key] && length(var.source_kms_key_arns) > 0 ? [var.source_kms_key_arns] : []

    content {
      sid       = "DecryptSources"
      actions   = ["kms:Decrypt"]
      resources = statement.value

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = distinct([for arn in statement.value : "s3.${split(":", arn)[3]}.amazonaws.com"])
      }
    }
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [
      { sid = "DecryptWithKey", action = "kms:Decrypt", by = local.decrypts_by[each.key] },
      { sid = "EncryptWithKey", action = "kms:GenerateDataKey", by = local.encrypts_by[each.key] },
    ]

    content {
      sid       = statement.value.sid
      actions   = [statement.value.action]
      resources = [var.kms_key_arn]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = [for name in statement.value.by : "${name}.${var.place.region}.amazonaws.com"]
      }
    }
  }

  # An application profile's ARN does not say which model it stands for.
  dynamic "statement" {
    for_each = each.key == "preprocessor" && length(var.application_profile_arns) > 0 ? [var.application_profile_arns] : []

    content {
      sid       = "SeeApplicationProfiles"
      actions   = ["bedrock:GetInferenceProfile"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = each.key == "scheduler" ? [
      { sid = "CreateJobs", action = "bedrock:CreateModelInvocationJob", resources = concat([module.names.jobs_arn], var.create_arns), tag = null },
      { sid = "FollowJobs", action = "bedrock:GetModelInvocationJob", resources = [module.names.jobs_arn], tag = null },
      # A job's ARN does not say whose it is; its tags do.
      { sid = "StopOwnJobs", action = "bedrock:StopModelInvocationJob", resources = [module.names.jobs_arn], tag = "aws:ResourceTag/${module.names.env_tag}" },
      # Tags go with Create. Nothing may be tagged as another environment's.
      { sid = "TagOwnJobs", action = "bedrock:TagResource", resources = [module.names.jobs_arn], tag = "aws:RequestTag/${module.names.env_tag}" },
      # AWS knows no resource for List.
      { sid = "ListJobs", action = "bedrock:ListModelInvocationJobs", resources = ["*"], tag = null },
      # Nor for what tells how many jobs the account may have: its quotas, and the models' names, by which alone a quota says whose
      # it is. Without these the limit is what is configured.
      { sid = "ReadQuotas", action = "servicequotas:ListServiceQuotas", resources = ["*"], tag = null },
      { sid = "ReadDefaultQuotas", action = "servicequotas:ListAWSDefaultServiceQuotas", resources = ["*"], tag = null },
      { sid = "NameModels", action = "bedrock:ListFoundationModels", resources = ["*"], tag = null },
    ] : []

    content {
      sid       = statement.value.sid
      actions   = [statement.value.action]
      resources = statement.value.resources

      dynamic "condition" {
        for_each = statement.value.tag == null ? [] : [statement.value.tag]

        content {
          test     = "StringEquals"
          variable = condition.value
          values   = [var.place.env]
        }
      }
    }
  }

  # AWS knows neither a resource nor a namespace for it, so it is granted only where it is asked for.
  dynamic "statement" {
    for_each = each.key == "scheduler" && var.read_batch_metrics ? [1] : []

    content {
      sid       = "ReadBatchMetrics"
      actions   = ["cloudwatch:GetMetricData"]
      resources = ["*"]
    }
  }

  # Converse is no action of its own: IAM compares it as InvokeModel.
  dynamic "statement" {
    for_each = each.key == "scheduler" && local.asks ? [var.on_demand_arns] : []

    content {
      sid       = "AskOnDemand"
      actions   = ["bedrock:InvokeModel"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = each.key == "scheduler" ? [var.bedrock_role_arn] : []

    content {
      sid       = "PassBedrockRole"
      actions   = ["iam:PassRole"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "iam:PassedToService"
        values   = ["bedrock.amazonaws.com"]
      }
    }
  }

  # Others speak on this bus too. Every entry has a source, so IfExists lets no other one pass.
  dynamic "statement" {
    for_each = each.key == "collector" ? [module.names.event_bus_arn] : []

    content {
      sid       = "ReportRuns"
      actions   = ["events:PutEvents"]
      resources = [statement.value]

      condition {
        test     = "StringEqualsIfExists"
        variable = "events:source"
        values   = ["quarry.${var.place.env}"]
      }
    }
  }
}
