# The role under which ECS itself starts a task: pulls its image, writes its log, reads the secrets there may be. The
# services' own roles come from outside.

module "trust" {
  source = "../role_trust"
  place  = var.place
}

data "aws_iam_policy_document" "execution" {
  dynamic "statement" {
    for_each = length(var.repository_arns) > 0 ? [1] : []

    content {
      sid       = "SignInToEcr"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = ["*"] # AWS knows no resource for it
    }
  }

  dynamic "statement" {
    for_each = length(var.repository_arns) > 0 ? [1] : []

    content {
      sid       = "PullImages"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = var.repository_arns
    }
  }

  statement {
    sid     = "WriteLogs"
    actions = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = [
      for service in keys(local.services) :
      "arn:${var.place.partition}:logs:${var.place.region}:${var.place.account_id}:log-group:/ecs/${local.prefix}-${service}:*"
    ]
  }
}

# The secrets that there are, each with the key it is encrypted with, if that is not AWS's own.
locals {
  secret_sources = merge(
    var.hugging_face_token == null ? {} : { HuggingFaceToken = var.hugging_face_token },
    var.webhook_key == null ? {} : { WebhookKey = var.webhook_key },
  )
}

data "aws_iam_policy_document" "token" {
  count = length(local.secret_sources) > 0 ? 1 : 0

  dynamic "statement" {
    for_each = local.secret_sources

    content {
      sid       = "Read${statement.key}"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [statement.value.secret_arn]
    }
  }

  dynamic "statement" {
    for_each = { for name, source in local.secret_sources : name => source if source.kms_key_arn != null }

    content {
      sid       = "Decrypt${statement.key}"
      actions   = ["kms:Decrypt"]
      resources = [statement.value.kms_key_arn]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${var.place.region}.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role_policy" "token" {
  count = length(local.secret_sources) > 0 ? 1 : 0

  name   = "token"
  role   = aws_iam_role.execution.name
  policy = data.aws_iam_policy_document.token[0].json
}

resource "aws_iam_role" "execution" {
  name                 = module.names.roles.execution.name
  description          = "Starts the tasks of ${local.prefix}: images and logs"
  assume_role_policy   = module.trust.execution_json
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "execution" {
  name   = "access"
  role   = aws_iam_role.execution.name
  policy = data.aws_iam_policy_document.execution.json
}
