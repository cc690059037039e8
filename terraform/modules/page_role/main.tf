# What the page of `quarry ui` may do where it runs as a container: what it shows, and only with `write` what its buttons do. The
# operator's policy has more: sources and prompts, the doctor's looks, estimates.

module "names" {
  source = "../names"
  place  = var.place
}

locals {
  names = module.names
  # The report, rows and errors; the plan; what was asked and answered.
  read_prefixes = ["results", "plans", "batch-output", "on-demand"]
  dlqs_arn      = "arn:${var.place.partition}:sqs:${var.place.region}:${var.place.account_id}:${var.place.env}-quarry-*-dlq"
  # Whom an action wakes, and where messages are redriven to. Only EventBridge sends to the events queue.
  sent_to = [for key in keys(local.names.queues) : key if key != "events"]

  decrypted_by = ["s3", "sqs", "dynamodb"]
}

resource "aws_iam_role" "this" {
  name                 = local.names.roles.page.name
  description          = "Quarry ${var.place.env}: the page${var.write ? ", which may control runs" : ""}"
  assume_role_policy   = local.trusts[var.runtime]
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "access" {
  name   = "access"
  role   = aws_iam_role.this.name
  policy = data.aws_iam_policy_document.access.json
}

data "aws_iam_policy_document" "access" {
  # ----------------------------------------------------------------- what it shows

  statement {
    sid       = "ReadLedger"
    actions   = ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"]
    resources = [local.names.table_arn]
  }

  statement {
    sid       = "ReadResults"
    actions   = ["s3:GetObject"]
    resources = [for prefix in local.read_prefixes : "${local.names.bucket_arn}/${prefix}/*"]
  }

  # Also because without List, S3 answers 403 where there is no such key. Such a GET bears no s3:prefix, hence IfExists.
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

  # They are shown by borrowing them for a moment.
  statement {
    sid       = "ShowDeadLetters"
    actions   = ["sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility"]
    resources = [local.dlqs_arn]
  }

  # ----------------------------------------------------------------- what its buttons do

  # A transaction is no IAM action: the item actions are what it is checked by.
  dynamic "statement" {
    for_each = var.write ? [1] : []

    content {
      sid       = "Steer"
      actions   = ["dynamodb:UpdateItem", "dynamodb:PutItem"]
      resources = [local.names.table_arn]
    }
  }

  dynamic "statement" {
    for_each = var.write ? [1] : []

    content {
      sid       = "WakeAndRedrive"
      actions   = ["sqs:SendMessage"]
      resources = [for key in local.sent_to : local.names.queues[key].arn]
    }
  }

  dynamic "statement" {
    for_each = var.write ? [1] : []

    content {
      sid       = "TakeDeadLetters"
      actions   = ["sqs:DeleteMessage"]
      resources = [local.dlqs_arn]
    }
  }

  # ----------------------------------------------------------------- the environment's key

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : concat(
      [{ sid = "DecryptWithKey", action = "kms:Decrypt", by = local.decrypted_by }],
      var.write ? [{ sid = "EncryptWithKey", action = "kms:GenerateDataKey", by = ["sqs"] }] : [],
    )

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
}
