# Who may use a queue says the policy of each service's role; this adds what no role can say.

data "aws_iam_policy_document" "this" {
  dynamic "statement" {
    for_each = var.event_rule_arn == null ? [] : [var.event_rule_arn]

    content {
      sid       = "OnlyTheRuleDelivers"
      actions   = ["sqs:SendMessage"]
      resources = [var.queue_arn]

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
    resources = [var.queue_arn]

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
