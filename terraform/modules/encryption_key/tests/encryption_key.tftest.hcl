provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place = { env = "dev", region = "us-east-1", account_id = "123456789012" }
}

run "a_key_that_rotates" {
  command = plan

  assert {
    condition = (
      aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30 &&
      aws_kms_alias.this.name == "alias/dev-quarry" && output.alias == "alias/dev-quarry"
    )
    error_message = "Rotation, the longest window and the alias."
  }

  assert {
    condition = jsondecode(aws_kms_key.this.policy) == jsondecode(<<-JSON
      {
        "Version": "2012-10-17",
        "Statement": [
          {
            "Sid": "AdministrationThroughIam",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": [
              "kms:UpdateKeyDescription", "kms:UpdateAlias", "kms:UntagResource", "kms:TagResource",
              "kms:ScheduleKeyDeletion", "kms:RotateKeyOnDemand", "kms:RevokeGrant", "kms:PutKeyPolicy",
              "kms:ListResourceTags", "kms:ListKeyRotations", "kms:ListKeyPolicies", "kms:ListGrants",
              "kms:GetKeyRotationStatus", "kms:GetKeyPolicy", "kms:EnableKeyRotation", "kms:EnableKey",
              "kms:DisableKeyRotation", "kms:DisableKey", "kms:DescribeKey", "kms:DeleteAlias",
              "kms:CreateAlias", "kms:CancelKeyDeletion"
            ],
            "Resource": "*"
          },
          {
            "Sid": "UseThroughIam",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": [
              "kms:ReEncryptTo", "kms:ReEncryptFrom", "kms:GenerateDataKeyWithoutPlaintext", "kms:GenerateDataKey",
              "kms:Encrypt", "kms:Decrypt"
            ],
            "Resource": "*"
          },
          {
            "Sid": "GrantsForServices",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": "kms:CreateGrant",
            "Resource": "*",
            "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}}
          },
          {
            "Sid": "RulesDeliver",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
            "Resource": "*",
            "Condition": {"ArnEquals": {"aws:SourceArn": ["arn:aws:events:us-east-1:123456789012:rule/dev-quarry-job-events", "arn:aws:events:us-east-1:123456789012:rule/dev-quarry-run-ended"]}}
          },
          {
            "Sid": "LogGroups",
            "Effect": "Allow",
            "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
            "Action": [
              "kms:ReEncryptTo", "kms:ReEncryptFrom", "kms:GenerateDataKeyWithoutPlaintext", "kms:GenerateDataKey",
              "kms:Encrypt", "kms:Decrypt"
            ],
            "Resource": "*",
            "Condition": {
              "StringLike": {
                "kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:us-east-1:123456789012:log-group:*dev-quarry*"
              }
            }
          }
        ]
      }
      JSON
    )
    error_message = "The key's policy: the account through IAM, the rule, the log groups, and nobody else."
  }
}

run "a_window_that_kms_does_not_take" {
  command = plan
  variables { deletion_window_days = 6 }
  expect_failures = [var.deletion_window_days]
}
