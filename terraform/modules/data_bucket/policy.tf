# The bucket's policy only denies. In one account an Allow here would add nothing to the roles' own policies, except that
# nobody could see any longer, by taking an action out of them, whether it is needed. A Deny holds whatever else a role is
# given: that is what "only their own prefixes" takes. Other principals (operators, administrators) are held by IAM alone:
# denied here, the first to be locked out would be whoever applies this.

locals {
  objects = "${module.names.bucket_arn}/*"

  # Role to what it reads and writes. One role may be that of several services: then it has the prefixes of all of them.
  roles = merge(
    {
      Bedrock = {
        arn    = var.bedrock_role_arn
        reads  = var.strict_prefixes ? ["batch-input"] : ["batch-input", "batch-output"]
        writes = var.strict_prefixes ? ["batch-output"] : ["batch-input", "batch-output"]
      }
    },
    {
      for arn, services in { for service, arn in var.service_role_arns : arn => service... } :
      join("", [for service in services : title(service)]) => {
        arn    = arn
        reads  = distinct(flatten([for service in services : module.names.reads[service]]))
        writes = distinct(flatten([for service in services : module.names.writes[service]]))
      }
    },
  )

  kept = flatten([
    for name, role in local.roles : [
      {
        sid      = "${name}ReadsElsewhere"
        arn      = role.arn
        actions  = ["s3:GetObject*"]
        prefixes = role.reads
      },
      {
        sid      = "${name}WritesElsewhere"
        arn      = role.arn
        actions  = ["s3:PutObject*", "s3:DeleteObject*", "s3:RestoreObject", "s3:AbortMultipartUpload"]
        prefixes = role.writes
      },
    ]
  ])

  # A put that names no encryption gets the bucket's, so only one that names another is wrong: the services name none, and
  # that Bedrock names one is not documented. Bedrock's role is left out all the same: AWS says of a job without a key of
  # its own that the output is encrypted with a key that AWS manages, and not whether its puts then name that key. To refuse
  # them would lose output that was paid for.
  encryption_header = "s3:x-amz-server-side-encryption"
  encryptions = concat(
    [{
      sid    = "OtherEncryption"
      header = local.encryption_header
      only   = var.kms_key_arn == null ? "AES256" : "aws:kms"
    }],
    # Who names KMS and no key gets AWS's own key, not the bucket's: an absent key is another key here.
    var.kms_key_arn == null ? [] : [{
      sid    = "OtherKey"
      header = "${local.encryption_header}-aws-kms-key-id"
      only   = var.kms_key_arn
    }],
  )
}

data "aws_iam_policy_document" "this" {
  statement {
    sid       = "PlainHttp"
    effect    = "Deny"
    actions   = ["s3:*"] # a denial leaves nothing out
    resources = [module.names.bucket_arn, local.objects]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  dynamic "statement" {
    for_each = local.encryptions

    content {
      sid       = statement.value.sid
      effect    = "Deny"
      actions   = ["s3:PutObject"]
      resources = [local.objects]

      principals {
        type        = "*"
        identifiers = ["*"]
      }

      condition {
        test     = "Null"
        variable = local.encryption_header
        values   = ["false"]
      }

      condition {
        test     = "StringNotEquals"
        variable = statement.value.header
        values   = [statement.value.only]
      }

      condition {
        test     = "ArnNotEquals"
        variable = "aws:PrincipalArn"
        values   = [var.bedrock_role_arn]
      }
    }
  }

  # Objects under a key that the caller brings can be read by nobody else, Bedrock included.
  statement {
    sid       = "CallersOwnKey"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = [local.objects]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Null"
      variable = "s3:x-amz-server-side-encryption-customer-algorithm"
      values   = ["false"]
    }
  }

  dynamic "statement" {
    for_each = local.kept

    content {
      sid           = statement.value.sid
      effect        = "Deny"
      actions       = statement.value.actions
      resources     = length(statement.value.prefixes) == 0 ? [local.objects] : null
      not_resources = length(statement.value.prefixes) == 0 ? null : [for prefix in statement.value.prefixes : "${module.names.bucket_arn}/${prefix}/*"]

      principals {
        type        = "*"
        identifiers = ["*"]
      }

      condition {
        test     = "ArnEquals"
        variable = "aws:PrincipalArn"
        values   = [statement.value.arn]
      }
    }
  }
}
