# The trail sees the objects of one bucket, and only the trail may write its logs.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place      = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  bucket_arn = "arn:aws:s3:::dev-quarry-123456789012"
}

run "the_trail" {
  command = plan

  assert {
    condition = {
      name     = aws_cloudtrail.audit.name
      valid    = aws_cloudtrail.audit.enable_log_file_validation
      logging  = aws_cloudtrail.audit.enable_logging
      regions  = aws_cloudtrail.audit.is_multi_region_trail
      global   = aws_cloudtrail.audit.include_global_service_events
      basic    = length(aws_cloudtrail.audit.event_selector)
      advanced = length(aws_cloudtrail.audit.advanced_event_selector)
      } == {
      name     = "dev-quarry-audit"
      valid    = true
      logging  = true
      regions  = false
      global   = false
      basic    = 0
      advanced = 1
    }
    error_message = "The trail differs."
  }

  assert {
    condition = {
      for selector in aws_cloudtrail.audit.advanced_event_selector[0].field_selector :
      selector.field => concat(
        [for value in coalesce(selector.equals, []) : "equals ${value}"],
        [for value in coalesce(selector.starts_with, []) : "starts with ${value}"],
      )
      } == {
      "eventCategory"  = ["equals Data"]
      "resources.type" = ["equals AWS::S3::Object"]
      "resources.ARN"  = ["starts with arn:aws:s3:::dev-quarry-123456789012/"]
    }
    error_message = "The trail must see the objects of the data bucket, reads and writes, and nothing else."
  }
}

run "the_log_bucket" {
  command = plan

  assert {
    condition     = aws_s3_bucket.logs.bucket == "dev-quarry-audit-123456789012" && !aws_s3_bucket.logs.force_destroy
    error_message = "The bucket differs."
  }

  assert {
    condition = (
      aws_s3_bucket_public_access_block.logs.block_public_acls && aws_s3_bucket_public_access_block.logs.ignore_public_acls &&
      aws_s3_bucket_public_access_block.logs.block_public_policy && aws_s3_bucket_public_access_block.logs.restrict_public_buckets
    )
    error_message = "All four kinds of public access must be blocked."
  }

  assert {
    condition     = aws_s3_bucket_ownership_controls.logs.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "Access lists must be off."
  }

  assert {
    condition = [
      for rule in aws_s3_bucket_server_side_encryption_configuration.logs.rule :
      "${rule.apply_server_side_encryption_by_default[0].sse_algorithm} ${rule.bucket_key_enabled}"
    ] == ["AES256 false"]
    error_message = "The logs must be encrypted."
  }

  assert {
    condition     = aws_s3_bucket_versioning.logs.versioning_configuration[0].status == "Enabled"
    error_message = "The bucket must keep versions."
  }

  assert {
    condition = {
      status     = aws_s3_bucket_lifecycle_configuration.logs.rule[0].status
      days       = aws_s3_bucket_lifecycle_configuration.logs.rule[0].expiration[0].days
      noncurrent = aws_s3_bucket_lifecycle_configuration.logs.rule[0].noncurrent_version_expiration[0].noncurrent_days
      uploads    = aws_s3_bucket_lifecycle_configuration.logs.rule[0].abort_incomplete_multipart_upload[0].days_after_initiation
      } == {
      status     = "Enabled"
      days       = 365
      noncurrent = 30
      uploads    = 7
    }
    error_message = "The lifecycle differs."
  }

  assert {
    condition = jsondecode(output.policy_json) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid       = "TrailLooksAtTheBucket"
          Effect    = "Allow"
          Principal = { Service = "cloudtrail.amazonaws.com" }
          Action    = "s3:GetBucketAcl"
          Resource  = "arn:aws:s3:::dev-quarry-audit-123456789012"
          Condition = {
            ArnEquals = { "aws:SourceArn" = "arn:aws:cloudtrail:us-east-1:123456789012:trail/dev-quarry-audit" }
          }
        },
        {
          Sid       = "TrailWritesItsLogs"
          Effect    = "Allow"
          Principal = { Service = "cloudtrail.amazonaws.com" }
          Action    = "s3:PutObject"
          Resource  = "arn:aws:s3:::dev-quarry-audit-123456789012/AWSLogs/123456789012/*"
          Condition = {
            ArnEquals    = { "aws:SourceArn" = "arn:aws:cloudtrail:us-east-1:123456789012:trail/dev-quarry-audit" }
            StringEquals = { "s3:x-amz-acl" = "bucket-owner-full-control" }
          }
        },
        {
          Sid       = "DenyPlainHttp"
          Effect    = "Deny"
          Principal = "*"
          Action    = "s3:*"
          Resource = [
            "arn:aws:s3:::dev-quarry-audit-123456789012/*",
            "arn:aws:s3:::dev-quarry-audit-123456789012",
          ]
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        },
      ]
    }
    error_message = "The log bucket's policy differs."
  }

  assert {
    condition     = jsondecode(aws_s3_bucket_policy.logs.policy) == jsondecode(output.policy_json)
    error_message = "The policy must be the bucket's."
  }
}

run "kept_for_as_long_as_asked" {
  command = plan

  variables {
    retention_days = 90
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.logs.rule[0].expiration[0].days == 90
    error_message = "The days given must be the days kept."
  }
}

run "a_key_for_the_logs" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }

  assert {
    condition = aws_cloudtrail.audit.kms_key_id == var.kms_key_arn && [
      for rule in aws_s3_bucket_server_side_encryption_configuration.logs.rule : join(" ", [
        rule.apply_server_side_encryption_by_default[0].sse_algorithm,
        rule.apply_server_side_encryption_by_default[0].kms_master_key_id,
        rule.bucket_key_enabled,
      ])
    ] == ["aws:kms ${var.kms_key_arn} false"]
    error_message = "Trail and bucket must use the key."
  }
}

run "refuses_an_alias" {
  command = plan

  variables {
    kms_key_arn = "alias/quarry"
  }

  expect_failures = [var.kms_key_arn]
}

run "refuses_a_prefix_of_a_bucket" {
  command = plan

  variables {
    bucket_arn = "arn:aws:s3:::dev-quarry-123456789012/results/"
  }

  expect_failures = [var.bucket_arn]
}

run "refuses_not_to_keep" {
  command = plan

  variables {
    retention_days = 0
  }

  expect_failures = [var.retention_days]
}
