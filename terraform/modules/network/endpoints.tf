# The gateway endpoints of S3 and DynamoDB cost nothing and carry nearly all bytes, so they stand in both kinds of network.
# Their policies are a second fence around the roles: stolen keys of another account cannot carry data out through them.

data "aws_iam_policy_document" "s3" {
  statement {
    sid = "TheEnvironmentsBucket"
    actions = [
      "s3:AbortMultipartUpload",
      "s3:DeleteObject",
      "s3:GetBucketLocation",
      "s3:GetObject",
      "s3:GetObjectVersion",
      "s3:ListBucket",
      "s3:PutObject",
    ]
    resources = [module.names.bucket_arn, "${module.names.bucket_arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"] # an endpoint's policy names no roles: who may do what is said by theirs and by the bucket's
    }
  }

  dynamic "statement" {
    for_each = length(var.source_buckets) > 0 ? [1] : []

    content {
      sid       = "ReadSources"
      actions   = ["s3:GetBucketLocation", "s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"]
      resources = flatten([for bucket in var.source_buckets : ["arn:${var.place.partition}:s3:::${bucket}", "arn:${var.place.partition}:s3:::${bucket}/*"]])

      principals {
        type        = "*"
        identifiers = ["*"]
      }
    }
  }

  statement {
    sid       = "LayersOfImages" # ECR keeps the layers of images in this bucket of its own
    actions   = ["s3:GetObject"]
    resources = ["arn:${var.place.partition}:s3:::prod-${var.place.region}-starport-layer-bucket/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }
}

data "aws_iam_policy_document" "dynamodb" {
  statement {
    sid = "TheLedger"
    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:DeleteItem",
      "dynamodb:DescribeContinuousBackups",
      "dynamodb:DescribeTable",
      "dynamodb:DescribeTimeToLive",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:UpdateItem",
    ]
    resources = [module.names.table_arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.place.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]
  policy            = data.aws_iam_policy_document.s3.json

  tags = { Name = "${local.prefix}-s3" }
}

resource "aws_vpc_endpoint" "dynamodb" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.place.region}.dynamodb"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]
  policy            = data.aws_iam_policy_document.dynamodb.json

  tags = { Name = "${local.prefix}-dynamodb" }
}

locals {
  endpoints = var.egress == "endpoints" ? { on = true } : {}
  asks      = var.on_demand ? ["bedrock-runtime"] : []
  secrets   = length(var.secret_arns) > 0 ? ["secretsmanager"] : []
  services  = var.egress == "endpoints" ? toset(concat(local.asks, local.secrets, ["bedrock", "ecr.api", "ecr.dkr", "events", "logs", "sqs", "sts"])) : toset([])
  prefix_lists = var.egress == "endpoints" ? {
    s3       = aws_vpc_endpoint.s3.prefix_list_id
    dynamodb = aws_vpc_endpoint.dynamodb.prefix_list_id
  } : {}
}

resource "aws_security_group" "endpoints" {
  for_each = local.endpoints

  name        = "${local.prefix}-endpoints"
  description = "Interface endpoints: TLS from the services of Quarry"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${local.prefix}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  for_each = local.endpoints

  security_group_id            = aws_security_group.endpoints[each.key].id
  description                  = "TLS from the services"
  referenced_security_group_id = aws_security_group.services.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  for_each = local.endpoints

  security_group_id            = aws_security_group.services.id
  description                  = "TLS to the interface endpoints"
  referenced_security_group_id = aws_security_group.endpoints[each.key].id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "gateways" {
  for_each = local.prefix_lists

  security_group_id = aws_security_group.services.id
  description       = "TLS to ${each.key} through its gateway endpoint"
  prefix_list_id    = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.services

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.place.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [for key in keys(local.subnets) : aws_subnet.private[key].id]
  security_group_ids  = [for group in aws_security_group.endpoints : group.id]
  policy              = data.aws_iam_policy_document.interface[each.key].json

  tags = { Name = "${local.prefix}-${each.key}" }
}
