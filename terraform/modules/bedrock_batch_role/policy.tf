# What AWS documents for the service role of batch inference, and no more: the user guide's pages on the role, on a VPC for
# jobs and on inference profiles. What is derived and not documented says so.

locals {
  files     = ["${module.names.bucket_arn}/batch-input/*", "${module.names.bucket_arn}/batch-output/*"]
  ec2       = "arn:${var.place.partition}:ec2:${var.place.region}:${var.place.account_id}"
  subnets   = var.vpc == null ? [] : [for id in var.vpc.subnet_ids : "${local.ec2}:subnet/${id}"]
  groups    = var.vpc == null ? [] : [for id in var.vpc.security_group_ids : "${local.ec2}:security-group/${id}"]
  interface = "${local.ec2}:network-interface/*"

  # AWS documents reading and writing on both. Reading the input and writing the output is all that a job can need by what
  # it does; whether the service does more is not documented, so the narrower grant is a choice and not the default.
  objects = var.strict_prefixes ? {
    ReadInput   = { actions = ["s3:GetObject"], resources = [local.files[0]] }
    WriteOutput = { actions = ["s3:PutObject"], resources = [local.files[1]] }
    } : {
    ReadAndWriteFiles = { actions = ["s3:GetObject", "s3:PutObject"], resources = local.files }
  }
}

data "aws_iam_policy_document" "trust" {
  statement {
    sid     = "BatchJobsOfThisAccount"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["bedrock.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.place.account_id]
    }

    # AWS's page advises to name single jobs afterwards; a job's id is not known before the job is made.
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [module.names.jobs_arn]
    }
  }
}

data "aws_iam_policy_document" "access" {
  dynamic "statement" {
    for_each = local.objects

    content {
      sid       = statement.key
      actions   = statement.value.actions
      resources = statement.value.resources

      condition {
        test     = "StringEquals"
        variable = "aws:ResourceAccount"
        values   = [var.place.account_id]
      }
    }
  }

  # Documented as required on both; it shows names of files, not what is in them, so the strict grant keeps it.
  statement {
    sid       = "ListFiles"
    actions   = ["s3:ListBucket"]
    resources = [module.names.bucket_arn]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [var.place.account_id]
    }

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["batch-input/*", "batch-output/*"]
    }
  }

  # No page tells of KMS and batch inference. Derived: S3 encrypts and decrypts the files in the role's name, by this key.
  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "EncryptFiles"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["s3.${var.place.region}.amazonaws.com"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "LookAtTheKey"
      actions   = ["kms:DescribeKey"] # Bedrock may look itself, and not by way of S3
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = length(var.invoke_arns) == 0 ? [] : [var.invoke_arns]

    content {
      sid       = "InvokeProfilesAndTheirModels"
      actions   = ["bedrock:InvokeModel"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = var.vpc == null ? [] : [var.vpc]

    content {
      sid = "LookAtTheNetwork"
      actions = [
        "ec2:DescribeDhcpOptions",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
      ]
      resources = ["*"] # EC2 knows no resource for what describes
    }
  }

  dynamic "statement" {
    for_each = var.vpc == null ? [] : [var.vpc]

    content {
      sid       = "AttachJobsToTheNetwork"
      actions   = ["ec2:CreateNetworkInterface"]
      resources = concat([local.interface], local.subnets, local.groups)

      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/BedrockManaged"
        values   = ["true"]
      }

      condition {
        test     = "ArnEquals"
        variable = "aws:RequestTag/BedrockModelInvocationJobArn"
        values   = [module.names.jobs_arn]
      }
    }
  }

  dynamic "statement" {
    for_each = var.vpc == null ? [] : [var.vpc]

    content {
      sid = "DetachJobsFromTheNetwork"
      actions = [
        "ec2:CreateNetworkInterfacePermission",
        "ec2:DeleteNetworkInterface",
      ]
      resources = [local.interface] # AWS's page says `*`; both actions know the interface that they are about

      condition {
        test     = "StringEquals"
        variable = "ec2:Subnet"
        values   = local.subnets
      }

      condition {
        test     = "ArnEquals"
        variable = "ec2:ResourceTag/BedrockModelInvocationJobArn"
        values   = [module.names.jobs_arn]
      }
    }
  }

  dynamic "statement" {
    for_each = var.vpc == null ? [] : [var.vpc]

    content {
      sid       = "TakePermissionsBack"
      actions   = ["ec2:DeleteNetworkInterfacePermission"]
      resources = ["*"] # EC2 knows no resource for it; the conditions bind it to jobs

      condition {
        test     = "StringEquals"
        variable = "ec2:Subnet"
        values   = local.subnets
      }

      condition {
        test     = "ArnEquals"
        variable = "ec2:ResourceTag/BedrockModelInvocationJobArn"
        values   = [module.names.jobs_arn]
      }
    }
  }

  dynamic "statement" {
    for_each = var.vpc == null ? [] : [var.vpc]

    content {
      sid       = "TagInterfacesWhenMade"
      actions   = ["ec2:CreateTags"]
      resources = [local.interface]

      condition {
        test     = "StringEquals"
        variable = "ec2:CreateAction"
        values   = ["CreateNetworkInterface"]
      }

      condition {
        test     = "ForAllValues:StringEquals"
        variable = "aws:TagKeys"
        values   = ["BedrockManaged", "BedrockModelInvocationJobArn"]
      }
    }
  }
}
