provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place            = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  bedrock_role_arn = "arn:aws:iam::123456789012:role/dev-quarry-bedrock"
  service_role_arns = {
    preprocessor = "arn:aws:iam::123456789012:role/dev-quarry-preprocessor"
    scheduler    = "arn:aws:iam::123456789012:role/dev-quarry-scheduler"
    collector    = "arn:aws:iam::123456789012:role/dev-quarry-collector"
  }
}

run "private_versioned_and_owned" {
  command = plan

  assert {
    condition     = aws_s3_bucket.this.bucket == "dev-quarry-123456789012" && aws_s3_bucket.this.force_destroy == false
    error_message = "The name is the services', and results are not destroyed unasked."
  }
  assert {
    condition     = output.bucket == "dev-quarry-123456789012" && output.bucket_arn == "arn:aws:s3:::dev-quarry-123456789012"
    error_message = "What is put out must be what is made."
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "All four settings of Block Public Access."
  }
  assert {
    condition     = one(aws_s3_bucket_ownership_controls.this.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "No ACLs."
  }
  assert {
    condition     = one(aws_s3_bucket_versioning.this.versioning_configuration).status == "Enabled"
    error_message = "Runs read their sources by version."
  }
}

run "encrypted_by_s3s_keys" {
  command = plan

  assert {
    condition = (
      one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256" &&
      one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled == false
    )
    error_message = "SSE-S3 where no key is given."
  }
  assert {
    condition = jsondecode(output.policy_json) == jsondecode(<<-JSON
      {
        "Version": "2012-10-17",
        "Statement": [
          {
            "Sid": "PlainHttp",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": ["arn:aws:s3:::dev-quarry-123456789012/*", "arn:aws:s3:::dev-quarry-123456789012"],
            "Condition": {
              "Bool": {"aws:SecureTransport": "false"}
            }
          },
          {
            "Sid": "OtherEncryption",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::dev-quarry-123456789012/*",
            "Condition": {
              "Null": {"s3:x-amz-server-side-encryption": "false"},
              "StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"},
              "ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-bedrock"}
            }
          },
          {
            "Sid": "CallersOwnKey",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::dev-quarry-123456789012/*",
            "Condition": {
              "Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}
            }
          },
          {
            "Sid": "BedrockReadsElsewhere",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:GetObject*",
            "NotResource": [
              "arn:aws:s3:::dev-quarry-123456789012/batch-output/*",
              "arn:aws:s3:::dev-quarry-123456789012/batch-input/*"
            ],
            "Condition": {
              "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-bedrock"}
            }
          },
          {
            "Sid": "BedrockWritesElsewhere",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:RestoreObject", "s3:PutObject*", "s3:DeleteObject*", "s3:AbortMultipartUpload"],
            "NotResource": [
              "arn:aws:s3:::dev-quarry-123456789012/batch-output/*",
              "arn:aws:s3:::dev-quarry-123456789012/batch-input/*"
            ],
            "Condition": {
              "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-bedrock"}
            }
          },
          {
            "Sid": "CollectorReadsElsewhere",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:GetObject*",
            "NotResource": [
              "arn:aws:s3:::dev-quarry-123456789012/rows/*",
              "arn:aws:s3:::dev-quarry-123456789012/results/*",
              "arn:aws:s3:::dev-quarry-123456789012/plans/*",
              "arn:aws:s3:::dev-quarry-123456789012/outcomes/*",
              "arn:aws:s3:::dev-quarry-123456789012/on-demand/*",
              "arn:aws:s3:::dev-quarry-123456789012/inputs/*",
              "arn:aws:s3:::dev-quarry-123456789012/batch-output/*",
              "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
              "arn:aws:s3:::dev-quarry-123456789012/again/*"
            ],
            "Condition": {
              "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-collector"}
            }
          },
          {
            "Sid": "CollectorWritesElsewhere",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:RestoreObject", "s3:PutObject*", "s3:DeleteObject*", "s3:AbortMultipartUpload"],
            "NotResource": [
              "arn:aws:s3:::dev-quarry-123456789012/results/*",
              "arn:aws:s3:::dev-quarry-123456789012/plans/*",
              "arn:aws:s3:::dev-quarry-123456789012/outcomes/*",
              "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
              "arn:aws:s3:::dev-quarry-123456789012/again/*"
            ],
            "Condition": {
              "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-collector"}
            }
          },
          {
            "Sid": "PreprocessorReadsElsewhere",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:GetObject*",
            "NotResource": [
              "arn:aws:s3:::dev-quarry-123456789012/rows/*",
              "arn:aws:s3:::dev-quarry-123456789012/results/*",
              "arn:aws:s3:::dev-quarry-123456789012/prompts/*",
              "arn:aws:s3:::dev-quarry-123456789012/plans/*",
              "arn:aws:s3:::dev-quarry-123456789012/inputs/*",
              "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
              "arn:aws:s3:::dev-quarry-123456789012/again/*"
            ],
            "Condition": {
              "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-preprocessor"}
            }
          },
          {
            "Sid": "PreprocessorWritesElsewhere",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:RestoreObject", "s3:PutObject*", "s3:DeleteObject*", "s3:AbortMultipartUpload"],
            "NotResource": [
              "arn:aws:s3:::dev-quarry-123456789012/rows/*",
              "arn:aws:s3:::dev-quarry-123456789012/plans/*",
              "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
              "arn:aws:s3:::dev-quarry-123456789012/again/*"
            ],
            "Condition": {
              "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-preprocessor"}
            }
          },
          {
            "Sid": "SchedulerReadsElsewhere",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:GetObject*",
            "NotResource": ["arn:aws:s3:::dev-quarry-123456789012/on-demand/*", "arn:aws:s3:::dev-quarry-123456789012/batch-input/*"],
            "Condition": {
              "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-scheduler"}
            }
          },
          {
            "Sid": "SchedulerWritesElsewhere",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:RestoreObject", "s3:PutObject*", "s3:DeleteObject*", "s3:AbortMultipartUpload"],
            "NotResource": "arn:aws:s3:::dev-quarry-123456789012/on-demand/*",
            "Condition": {
              "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-scheduler"}
            }
          }
        ]
      }
      JSON
    )
    error_message = "The policy: no plain HTTP, no other encryption, each role on its own prefixes."
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.this.policy) == jsondecode(output.policy_json)
    error_message = "What is put out must be what is made."
  }
}

run "encrypted_by_a_key" {
  command = plan
  variables {
    kms_key_arn       = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    service_role_arns = {}
    strict_prefixes   = true
  }

  assert {
    condition = (
      one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms" &&
      one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).kms_master_key_id == var.kms_key_arn &&
      one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled
    )
    error_message = "SSE-KMS with an S3 bucket key."
  }
  assert {
    condition = jsondecode(output.policy_json) == jsondecode(<<-JSON
      {
        "Version": "2012-10-17",
        "Statement": [
          {
            "Sid": "PlainHttp",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": ["arn:aws:s3:::dev-quarry-123456789012/*", "arn:aws:s3:::dev-quarry-123456789012"],
            "Condition": {
              "Bool": {"aws:SecureTransport": "false"}
            }
          },
          {
            "Sid": "OtherEncryption",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::dev-quarry-123456789012/*",
            "Condition": {
              "Null": {"s3:x-amz-server-side-encryption": "false"},
              "StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"},
              "ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-bedrock"}
            }
          },
          {
            "Sid": "OtherKey",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::dev-quarry-123456789012/*",
            "Condition": {
              "Null": {"s3:x-amz-server-side-encryption": "false"},
              "StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"},
              "ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-bedrock"}
            }
          },
          {
            "Sid": "CallersOwnKey",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::dev-quarry-123456789012/*",
            "Condition": {
              "Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}
            }
          },
          {
            "Sid": "BedrockReadsElsewhere",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:GetObject*",
            "NotResource": "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
            "Condition": {
              "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-bedrock"}
            }
          },
          {
            "Sid": "BedrockWritesElsewhere",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:RestoreObject", "s3:PutObject*", "s3:DeleteObject*", "s3:AbortMultipartUpload"],
            "NotResource": "arn:aws:s3:::dev-quarry-123456789012/batch-output/*",
            "Condition": {
              "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dev-quarry-bedrock"}
            }
          }
        ]
      }
      JSON
    )
    error_message = "The policy with a key and with strict prefixes."
  }
}

run "one_role_for_all_services_has_the_prefixes_of_all" {
  command = plan
  variables {
    service_role_arns = {
      preprocessor = "arn:aws:iam::123456789012:role/dev-quarry-server"
      scheduler    = "arn:aws:iam::123456789012:role/dev-quarry-server"
      collector    = "arn:aws:iam::123456789012:role/dev-quarry-server"
    }
  }

  assert {
    condition = {
      for statement in jsondecode(output.policy_json).Statement :
      statement.Sid => sort([for arn in statement.NotResource : trimprefix(arn, "arn:aws:s3:::dev-quarry-123456789012/")])
      if strcontains(statement.Sid, "Collector")
      } == {
      CollectorPreprocessorSchedulerReadsElsewhere  = tolist(["again/*", "batch-input/*", "batch-output/*", "inputs/*", "on-demand/*", "outcomes/*", "plans/*", "prompts/*", "results/*", "rows/*"])
      CollectorPreprocessorSchedulerWritesElsewhere = tolist(["again/*", "batch-input/*", "on-demand/*", "outcomes/*", "plans/*", "results/*", "rows/*"])
    }
    error_message = "A denial of one service's prefixes would stop the others."
  }
}

run "what_expires" {
  command = plan
  variables {
    input_days      = 20
    output_days     = 40
    noncurrent_days = 50
  }

  assert {
    condition = {
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.filter[0].prefix => rule.expiration[0].days
      if rule.id != "clean-up" && rule.status == "Enabled"
      } == {
      "batch-input/"  = 20
      "rows/"         = 20
      "batch-output/" = 40
      "on-demand/"    = 40
      "outcomes/"     = 40
      "again/"        = 40
      "plans/"        = 40
    }
    error_message = "Workings expire; inputs/, prompts/ and results/ never do."
  }
  assert {
    condition = [
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule : {
        uploads = rule.abort_incomplete_multipart_upload[0].days_after_initiation
        old     = rule.noncurrent_version_expiration[0].noncurrent_days
        markers = rule.expiration[0].expired_object_delete_marker
        enabled = rule.status == "Enabled"
      } if rule.id == "clean-up"
    ] == [{ uploads = 7, old = 50, markers = true, enabled = true }]
    error_message = "Unfinished uploads, old versions and markers of what is gone."
  }
}

run "results_stay_unless_days_are_given" {
  command = plan
  assert {
    condition     = length([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule if startswith(rule.id, "expire-results")]) == 0
    error_message = "Nobody asked for results to expire."
  }
}

run "results_expire_after_the_days_given" {
  command = plan
  variables { results_days = 90 }
  assert {
    condition = [
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule : { prefix = rule.filter[0].prefix, days = rule.expiration[0].days }
      if rule.id == "expire-results"
    ] == [{ prefix = "results/", days = 90 }]
    error_message = "Results expire after 90 days."
  }
}

run "results_that_expire_below_a_run" {
  command = plan
  variables { results_days = 13 }
  expect_failures = [var.results_days]
}

run "inputs_that_expire_below_a_run" {
  command = plan
  variables { input_days = 13 }
  expect_failures = [var.input_days]
}

run "workings_that_expire_below_a_run" {
  command = plan
  variables { output_days = 7 }
  expect_failures = [var.output_days]
}

run "versions_that_expire_below_a_run" {
  command = plan
  variables { noncurrent_days = 1 }
  expect_failures = [var.noncurrent_days]
}

run "a_service_that_there_is_not" {
  command = plan
  variables { service_role_arns = { writer = "arn:aws:iam::123456789012:role/writer" } }
  expect_failures = [var.service_role_arns]
}
