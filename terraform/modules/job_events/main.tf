module "names" {
  source = "../names"
  place  = var.place
}

# Job names end in `-<env>`, so environments of one account hear each of its own jobs alone.
resource "aws_cloudwatch_event_rule" "jobs" {
  name        = module.names.rule
  description = "Bedrock's batch jobs of environment ${var.place.env}"
  state       = "ENABLED"

  event_pattern = jsonencode({
    source      = ["aws.bedrock"]
    detail-type = ["Batch Inference Job State Change"]
    detail      = { batchJobName = [{ suffix = "-${var.place.env}" }] }
  })
}

resource "aws_cloudwatch_event_target" "queue" {
  rule      = aws_cloudwatch_event_rule.jobs.name
  target_id = "events-queue"
  arn       = var.events_queue_arn

  retry_policy {
    maximum_event_age_in_seconds = var.event_age_max_s
    maximum_retry_attempts       = var.event_retries_max
  }

  dead_letter_config {
    arn = module.names.event_target_dlq_arn
  }

  # The ARN above is the name's, known before the queue stands: the order has to be said.
  depends_on = [aws_sqs_queue.undelivered]
}

# What EventBridge could not deliver to the events queue. It is the target's, not the queue's: SQS never redrives to it.
resource "aws_sqs_queue" "undelivered" {
  name                      = module.names.event_target_dlq
  message_retention_seconds = 14 * 24 * 3600 # SQS's longest: nothing here is read by a program
  kms_master_key_id         = var.kms_key_arn
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  policy                    = module.undelivered_policy.json
}

module "undelivered_policy" {
  source         = "../queue_policy"
  queue_arn      = module.names.event_target_dlq_arn
  event_rule_arn = module.names.rule_arn
}
