# Who may take the role, as for the services' own (service_roles/trust.tf).

data "aws_iam_policy_document" "ecs" {
  statement {
    sid     = "EcsTasks"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.place.account_id]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${var.place.partition}:ecs:${var.place.region}:${var.place.account_id}:*"]
    }
  }
}

data "aws_iam_policy_document" "principals" {
  statement {
    sid     = "TrustedPrincipals"
    actions = ["sts:AssumeRole"]

    principals {
      type = "AWS"
      identifiers = (
        length(var.trusted_principal_arns) > 0
        ? var.trusted_principal_arns
        : ["arn:${var.place.partition}:iam::${var.place.account_id}:root"]
      )
    }
  }
}
