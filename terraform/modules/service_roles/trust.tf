# Who may take the roles. Each document names one service of AWS, and this account, wherever AWS tells the account.

locals {
  trusts = {
    ecs  = { for service in local.services : service => data.aws_iam_policy_document.ecs.json }
    eks  = var.trust_policies
    ec2  = { server = data.aws_iam_policy_document.ec2.json }
    none = { for service in local.services : service => data.aws_iam_policy_document.principals.json }
  }[var.runtime]
}

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

# EC2 tells no source account; an instance can only bear a profile of its own account.
data "aws_iam_policy_document" "ec2" {
  statement {
    sid     = "Server"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
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
