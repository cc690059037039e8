# Who in the account may use or administer the key is written in their own policies (the account's statements only let those
# count), so the key needs no list of roles. AWS's services that act in their own name have no such policies: they are here.

data "aws_iam_policy_document" "this" {
  statement {
    sid = "AdministrationThroughIam"
    actions = [
      "kms:CancelKeyDeletion",
      "kms:CreateAlias",
      "kms:DeleteAlias",
      "kms:DescribeKey",
      "kms:DisableKey",
      "kms:DisableKeyRotation",
      "kms:EnableKey",
      "kms:EnableKeyRotation",
      "kms:GetKeyPolicy",
      "kms:GetKeyRotationStatus",
      "kms:ListGrants",
      "kms:ListKeyPolicies",
      "kms:ListKeyRotations",
      "kms:ListResourceTags",
      "kms:PutKeyPolicy",
      "kms:RevokeGrant",
      "kms:RotateKeyOnDemand",
      "kms:ScheduleKeyDeletion",
      "kms:TagResource",
      "kms:UntagResource",
      "kms:UpdateAlias",
      "kms:UpdateKeyDescription",
    ]
    resources = ["*"] # in a key's policy: this key

    principals {
      type        = "AWS"
      identifiers = ["arn:${var.place.partition}:iam::${var.place.account_id}:root"]
    }
  }

  statement {
    sid = "UseThroughIam"
    actions = [
      "kms:Decrypt",
      "kms:Encrypt",
      "kms:GenerateDataKey",
      "kms:GenerateDataKeyWithoutPlaintext",
      "kms:ReEncryptFrom",
      "kms:ReEncryptTo",
    ]
    resources = ["*"] # this key

    principals {
      type        = "AWS"
      identifiers = ["arn:${var.place.partition}:iam::${var.place.account_id}:root"]
    }
  }

  # DynamoDB keeps a grant for the ledger, which whoever makes the table asks for.
  statement {
    sid       = "GrantsForServices"
    actions   = ["kms:CreateGrant"]
    resources = ["*"] # this key

    principals {
      type        = "AWS"
      identifiers = ["arn:${var.place.partition}:iam::${var.place.account_id}:root"]
    }

    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }

  # Without it the rules' events end nowhere: queue and topic cannot take them, nor can the targets' dead-letter queues.
  statement {
    sid       = "RulesDeliver"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = ["*"] # this key

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [module.names.rule_arn, module.names.run_ended_rule_arn]
    }
  }

  # Log groups of the environment hold its name, as everything does: `/vpc/dev-quarry-flows`.
  statement {
    sid = "LogGroups"
    actions = [
      "kms:Decrypt",
      "kms:Encrypt",
      "kms:GenerateDataKey",
      "kms:GenerateDataKeyWithoutPlaintext",
      "kms:ReEncryptFrom",
      "kms:ReEncryptTo",
    ]
    resources = ["*"] # this key

    principals {
      type        = "Service"
      identifiers = ["logs.${var.place.region}.amazonaws.com"]
    }

    condition {
      test     = "StringLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values = [
        "arn:${var.place.partition}:logs:${var.place.region}:${var.place.account_id}:log-group:*${var.place.env}-quarry*",
      ]
    }
  }
}
