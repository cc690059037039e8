# What a person needs who runs batches with the command `quarry`: send manifests, look, control, fetch results, stop jobs, move
# dead messages back, and let `quarry doctor` look at everything. The README says which command needs which statement.

module "names" {
  source = "../names"
  place  = var.place
}

locals {
  names = module.names
  iam   = "arn:${var.place.partition}:iam"
  # How long IAM lets a managed policy be, white space aside.
  policy_chars_max = 6144
  policy_chars     = length(jsonencode(jsondecode(data.aws_iam_policy_document.this.json)))

  read_prefixes = ["results", "prompts", "outcomes", "inputs", "plans", "rows", "batch-output", "on-demand"]

  queues_arn = "arn:${var.place.partition}:sqs:${var.place.region}:${var.place.account_id}:${var.place.env}-quarry-*"
  # Only the rule sends to the events queue: what is sent there is taken for Bedrock's word.
  sent_to = [for key, queue in local.names.queues : key if key != "events"]
  # Those whose policies say what Bedrock may do and who may create jobs.
  checked_roles = [for role in ["bedrock", "scheduler", "server"] : local.names.roles[role].arn]

  decrypted_by = ["s3", "sqs", "dynamodb"]
  encrypted_by = ["s3", "sqs"]
}

resource "aws_iam_policy" "this" {
  name        = local.names.operator_policy
  description = "Quarry ${var.place.env}: submit, inspect, fetch results, cancel, redrive, diagnose"
  policy      = data.aws_iam_policy_document.this.json

  lifecycle {
    precondition {
      condition     = local.policy_chars <= local.policy_chars_max
      error_message = "The operator's policy has ${local.policy_chars} characters, and IAM takes ${local.policy_chars_max}."
    }
  }
}

data "aws_iam_policy_document" "this" {
  # ----------------------------------------------------------------- submit

  # And what `quarry compact` writes: merged parts beside those of the collector, which stay out of reach.
  statement {
    sid       = "BringSourcesAndPrompts"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = [for prefix in ["inputs", "prompts", "results/compact_parts"] : "${local.names.bucket_arn}/${prefix}/*"]
  }

  # To the other queues it is the way back from their dead-letter queues: SQS moves a message under the mover's own rights.
  statement {
    sid       = "SendManifestsAndRedriven"
    actions   = ["sqs:SendMessage"]
    resources = [for key in local.sent_to : local.names.queues[key].arn]
  }

  # ----------------------------------------------------------------- look, fetch results

  # UpdateItem and PutItem for what steers a run or a pool. A transaction is no IAM action: the item actions are what it is
  # checked by. One statement, since two would be too long for IAM.
  statement {
    sid       = "ReadAndSteer"
    actions   = ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:UpdateItem", "dynamodb:PutItem"]
    resources = [local.names.table_arn]
  }

  # Of a run whose source broke, the answers are under outcomes/ only. `quarry submit` looks at source and prompt, `quarry
  # verify` at the plan and the copies of rows, `quarry why` at what a job was sent and has answered.
  statement {
    sid       = "ReadResults"
    actions   = ["s3:GetObject"]
    resources = [for prefix in local.read_prefixes : "${local.names.bucket_arn}/${prefix}/*"]
  }

  # Without List, S3 answers 403 where there is no such key, and a run may have no report yet. Such a GET bears no s3:prefix,
  # hence IfExists.
  statement {
    sid       = "ListResults"
    actions   = ["s3:ListBucket"]
    resources = [local.names.bucket_arn]

    condition {
      test     = "StringLikeIfExists"
      variable = "s3:prefix"
      values   = [for prefix in local.read_prefixes : "${prefix}/*"]
    }
  }

  # `quarry logs`: the groups of the ECS services. Elsewhere it prints its query.
  statement {
    sid       = "AskLogs"
    actions   = ["logs:StartQuery", "logs:GetQueryResults"]
    resources = ["arn:${var.place.partition}:logs:${var.place.region}:${var.place.account_id}:log-group:/ecs/${var.place.env}-quarry-*"]
  }

  # `quarry estimate --count-tokens`: free of charge, answers a number, and asks by a model's plain id alone, here.
  statement {
    sid       = "CountTokens"
    actions   = ["bedrock:CountTokens"]
    resources = ["arn:${var.place.partition}:bedrock:${var.place.region}::foundation-model/*"]
  }

  # ----------------------------------------------------------------- cancel

  statement {
    sid       = "SeeJobs"
    actions   = ["bedrock:GetModelInvocationJob"]
    resources = [local.names.jobs_arn]
  }

  # A job's ARN does not say whose it is; its tags do.
  statement {
    sid       = "StopOwnJobs"
    actions   = ["bedrock:StopModelInvocationJob"]
    resources = [local.names.jobs_arn]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/${local.names.env_tag}"
      values   = [var.place.env]
    }
  }

  # ----------------------------------------------------------------- redrive

  # To read a dead-letter message's reason, to return it, what `quarry dlq redrive` is made of (received, sent to its queue,
  # deleted), and SQS's own way back. All of them, by what their names end with: one by one they would make the policy too long for
  # IAM. Nothing goes back to the events queue all the same: SQS sends under the mover's rights, who may not send there, and moves
  # nothing from the event target's dead-letter queue, since its source is no queue.
  statement {
    sid = "TakeDeadLetters"
    actions = [
      "sqs:ReceiveMessage",
      "sqs:ChangeMessageVisibility",
      "sqs:DeleteMessage",
      "sqs:StartMessageMoveTask",
      "sqs:ListMessageMoveTasks",
      "sqs:CancelMessageMoveTask",
    ]
    resources = ["${local.queues_arn}-dlq"]
  }

  # ----------------------------------------------------------------- doctor: reads only

  # All eleven, by what their names begin with: one by one they would not leave the policy short enough for IAM.
  statement {
    sid       = "SeeQueues"
    actions   = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
    resources = [local.queues_arn]
  }

  statement {
    sid = "SeeBucket"
    actions = [
      "s3:GetBucketLocation",
      "s3:GetBucketPolicy",
      "s3:GetBucketPublicAccessBlock",
      "s3:GetBucketVersioning",
      "s3:GetEncryptionConfiguration",
    ]
    resources = [local.names.bucket_arn]
  }

  statement {
    sid       = "SeeLedger"
    actions   = ["dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"]
    resources = [local.names.table_arn]
  }

  statement {
    sid       = "SeeRule"
    actions   = ["events:DescribeRule", "events:ListTargetsByRule"]
    resources = [local.names.rule_arn]
  }

  statement {
    sid       = "SeeSchedule"
    actions   = ["scheduler:GetSchedule"]
    resources = [local.names.schedule_arn]
  }

  statement {
    sid = "SeeRoles"
    actions = [
      "iam:GetRole",
      "iam:GetRolePolicy",
      "iam:ListAttachedRolePolicies",
      "iam:ListRolePolicies",
      "iam:SimulatePrincipalPolicy",
    ]
    resources = local.checked_roles
  }

  # Policies that somebody attached to these roles, whatever they are called: the account's own, and AWS's.
  statement {
    sid       = "SeeAttachedPolicies"
    actions   = ["iam:GetPolicy", "iam:GetPolicyVersion"]
    resources = [for owner in [var.place.account_id, "aws"] : "${local.iam}::${owner}:policy/*"]
  }

  statement {
    sid     = "SeeProfiles"
    actions = ["bedrock:GetInferenceProfile"]
    resources = [
      for kind in ["inference-profile", "application-inference-profile"] :
      "arn:${var.place.partition}:bedrock:${var.place.region}:${var.place.account_id}:${kind}/*"
    ]
  }

  # AWS knows no resource for any of these.
  statement {
    sid = "SeeWhatHasNoArn"
    actions = [
      "bedrock:GetFoundationModelAvailability",
      "bedrock:ListFoundationModels",
      "bedrock:ListInferenceProfiles",
      "bedrock:ListModelInvocationJobs",
      "events:TestEventPattern",
      "scheduler:ListSchedules",
      "servicequotas:ListAWSDefaultServiceQuotas",
      "servicequotas:ListServiceQuotas",
    ]
    resources = ["*"]
  }

  # ----------------------------------------------------------------- the environment's key

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [
      { sid = "DecryptWithKey", action = "kms:Decrypt", by = local.decrypted_by },
      { sid = "EncryptWithKey", action = "kms:GenerateDataKey", by = local.encrypted_by },
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

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "SeeKey"
      actions   = ["kms:DescribeKey", "kms:GetKeyPolicy"]
      resources = [statement.value]
    }
  }
}
