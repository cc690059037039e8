locals {
  flow_logs      = var.flow_logs == null ? {} : { on = var.flow_logs }
  flow_role      = "${local.prefix}-flow-logs"
  flow_group     = "/vpc/${local.prefix}-flows"
  flow_here      = "${var.place.region}:${var.place.account_id}"
  flow_group_arn = "arn:${var.place.partition}:logs:${local.flow_here}:log-group:${local.flow_group}"
}

data "aws_iam_policy_document" "flow_trust" {
  statement {
    sid     = "FlowLogsOfThisAccount"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["vpc-flow-logs.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.place.account_id]
    }
    condition {
      test     = "ArnLike" # the log gets its id only when it is made
      variable = "aws:SourceArn"
      values   = ["arn:${var.place.partition}:ec2:${local.flow_here}:vpc-flow-log/*"]
    }
  }
}

data "aws_iam_policy_document" "flow_write" {
  statement {
    sid       = "WriteFlows"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${local.flow_group_arn}:*"]
  }
}

resource "aws_cloudwatch_log_group" "flows" {
  for_each = local.flow_logs

  name              = local.flow_group
  retention_in_days = each.value.retention_days
  kms_key_id        = each.value.kms_key_arn
}

resource "aws_iam_role" "flows" {
  for_each = local.flow_logs

  name                 = local.flow_role
  description          = "VPC flow logs of ${local.prefix}"
  assume_role_policy   = data.aws_iam_policy_document.flow_trust.json
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "flows" {
  for_each = local.flow_logs

  name   = "write"
  role   = aws_iam_role.flows[each.key].name
  policy = data.aws_iam_policy_document.flow_write.json
}

resource "aws_flow_log" "this" {
  for_each = local.flow_logs

  vpc_id               = aws_vpc.this.id
  traffic_type         = "ALL"
  log_destination_type = "cloud-watch-logs"
  log_destination      = aws_cloudwatch_log_group.flows[each.key].arn
  iam_role_arn         = aws_iam_role.flows[each.key].arn

  tags = { Name = local.prefix }
}
