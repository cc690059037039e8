module "names" {
  source = "../names"
  place  = var.place
}

locals {
  names = module.names.queues[var.key]
  # What a manifest may be, and the most that every version of the provider knows; SQS itself takes four times as much.
  message_bytes_max = 256 * 1024
}

resource "aws_sqs_queue" "dead" {
  name                      = local.names.dlq_name
  message_retention_seconds = var.dead_retention_s
  max_message_size          = local.message_bytes_max
  kms_master_key_id         = var.kms_key_arn
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  policy                    = module.dead_policy.json

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [local.names.arn]
  })
}

resource "aws_sqs_queue" "this" {
  name                       = local.names.name
  message_retention_seconds  = var.retention_s
  max_message_size           = local.message_bytes_max
  visibility_timeout_seconds = var.visibility_timeout_s
  kms_master_key_id          = var.kms_key_arn
  sqs_managed_sse_enabled    = var.kms_key_arn == null ? true : null
  policy                     = module.policy.json

  redrive_policy = jsonencode({
    deadLetterTargetArn = local.names.dlq_arn
    maxReceiveCount     = var.receive_count_max
  })

  # SQS refuses a redrive to a queue that does not stand; its ARN is the name's, so the order has to be said.
  depends_on = [aws_sqs_queue.dead]
}
