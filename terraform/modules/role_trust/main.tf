# Who may take a role. Each document names one service of AWS, and this account, wherever AWS tells the account.

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

# The role under which ECS itself starts a task.
data "aws_iam_policy_document" "execution" {
  statement {
    sid     = "TasksOfThisAccount"
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
        length(var.principal_arns) > 0
        ? var.principal_arns
        : ["arn:${var.place.partition}:iam::${var.place.account_id}:root"]
      )
    }
  }
}
