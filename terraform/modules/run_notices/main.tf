module "names" {
  source = "../names"
  place  = var.place
}

# Every end of a run, whoever ended it and however: the collector puts it on the default bus.
resource "aws_cloudwatch_event_rule" "ended" {
  name        = module.names.run_ended
  description = "Ended runs of environment ${var.place.env}"
  state       = "ENABLED"

  event_pattern = jsonencode({
    source      = ["quarry.${var.place.env}"]
    detail-type = ["Run Ended"]
  })
}

resource "aws_sns_topic" "ended" {
  name              = module.names.run_ended
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_policy" "ended" {
  arn    = aws_sns_topic.ended.arn
  policy = data.aws_iam_policy_document.topic.json
}

data "aws_iam_policy_document" "topic" {
  statement {
    sid       = "OnlyTheRulePublishes"
    actions   = ["sns:Publish"]
    resources = [module.names.run_ended_topic_arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [module.names.run_ended_rule_arn]
    }
  }

  # Who may subscribe is written in the account's own policies.
  statement {
    sid       = "SubscriptionThroughIam"
    actions   = ["sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sns:SetTopicAttributes", "sns:Subscribe"]
    resources = [module.names.run_ended_topic_arn]

    principals {
      type        = "AWS"
      identifiers = ["arn:${var.place.partition}:iam::${var.place.account_id}:root"]
    }
  }
}

resource "aws_cloudwatch_event_target" "topic" {
  rule      = aws_cloudwatch_event_rule.ended.name
  target_id = "topic"
  arn       = aws_sns_topic.ended.arn

  retry_policy {
    maximum_event_age_in_seconds = 86400 # a day, the longest
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = aws_sqs_queue.undelivered.arn
  }
}

resource "aws_sqs_queue" "undelivered" {
  name                      = module.names.run_ended_dlq
  message_retention_seconds = 14 * 24 * 3600 # SQS's longest: nothing here is read by a program
  kms_master_key_id         = var.kms_key_arn
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  policy                    = module.undelivered_policy.json
}

module "undelivered_policy" {
  source         = "../queue_policy"
  queue_arn      = module.names.run_ended_dlq_arn
  event_rule_arn = module.names.run_ended_rule_arn
}
