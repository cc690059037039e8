# Who may use the queue says the policy of each service's role; these policies add what no role can say.

data "aws_iam_policy_document" "this" {
  dynamic "statement" {
    for_each = var.event_rule_arn == null ? [] : [var.event_rule_arn]

    content {
      sid       = "OnlyTheRuleDelivers"
      actions   = ["sqs:SendMessage"]
      resources = [local.names.arn]

      principals {
        type        = "Service"
        identifiers = ["events.amazonaws.com"]
      }

      condition {
        test     = "ArnEquals"
        variable = "aws:SourceArn"
        values   = [statement.value]
      }
    }
  }

  statement {
    sid       = "DenyPlainHttp"
    effect    = "Deny"
    actions   = ["sqs:*"] # a denial leaves nothing out, and SQS takes at most seven actions by name
    resources = [local.names.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

data "aws_iam_policy_document" "dead" {
  statement {
    sid       = "DenyPlainHttp"
    effect    = "Deny"
    actions   = ["sqs:*"] # as above
    resources = [local.names.dlq_arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}
