# The role under which ECS starts the page: its image, its log, its token. Not that of the services, which has no business with
# the token.

module "trust" {
  source = "../role_trust"
  place  = var.place
}

data "aws_iam_policy_document" "execution" {
  dynamic "statement" {
    for_each = var.repository_arn == null ? [] : [1]

    content {
      sid       = "SignInToEcr"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = ["*"] # AWS knows no resource for it
    }
  }

  dynamic "statement" {
    for_each = var.repository_arn == null ? [] : [var.repository_arn]

    content {
      sid       = "PullImage"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = [statement.value]
    }
  }

  statement {
    sid       = "WriteLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:${var.place.partition}:logs:${var.place.region}:${var.place.account_id}:log-group:/ecs/${local.prefix}-page:*"]
  }

  statement {
    sid       = "ReadToken"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.token.secret_arn]
  }

  dynamic "statement" {
    for_each = var.token.kms_key_arn == null ? [] : [var.token.kms_key_arn]

    content {
      sid       = "DecryptToken"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${var.place.region}.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role" "execution" {
  name                 = module.names.roles.page-execution.name
  description          = "Starts the page of ${local.prefix}: image, log and token"
  assume_role_policy   = module.trust.execution_json
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "execution" {
  name   = "access"
  role   = aws_iam_role.execution.name
  policy = data.aws_iam_policy_document.execution.json
}
