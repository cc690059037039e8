locals {
  group = "default"
  # By AWS's page on the confused deputy the source is the schedule's *group*: with a schedule's own ARN here the role
  # cannot be assumed.
  group_arn = "arn:${var.place.partition}:scheduler:${var.place.region}:${var.place.account_id}:schedule-group/${local.group}"
  queue_arn = module.names.queues["scheduler"].arn
}

resource "aws_iam_role" "sweep" {
  name                 = module.names.roles["sweep"].name
  description          = "EventBridge Scheduler sends the sweep of environment ${var.place.env} under it"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "access" {
  name   = "access"
  role   = aws_iam_role.sweep.name
  policy = data.aws_iam_policy_document.access.json
}

data "aws_iam_policy_document" "trust" {
  statement {
    sid     = "SchedulerOfThisAccount"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.place.account_id]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.group_arn]
    }
  }
}

data "aws_iam_policy_document" "access" {
  statement {
    sid       = "WakeTheScheduler"
    actions   = ["sqs:SendMessage"]
    resources = [local.queue_arn]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "EncryptForTheQueue"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"] # SQS verifies the data key that it had made
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["sqs.${var.place.region}.amazonaws.com"]
      }
    }
  }
}
