# The policy is compared whole. The provider renders actions and resources in reverse order.

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

run "what_an_operator_may_do" {
  command = plan

  assert {
    condition = jsondecode(output.policy_json) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid    = "BringSourcesAndPrompts"
          Effect = "Allow"
          Action = [
            "s3:PutObject",
            "s3:AbortMultipartUpload",
          ]
          Resource = [
            "arn:aws:s3:::dev-quarry-123456789012/results/compact_parts/*",
            "arn:aws:s3:::dev-quarry-123456789012/prompts/*",
            "arn:aws:s3:::dev-quarry-123456789012/inputs/*",
          ]
        },
        {
          Sid    = "SendManifestsAndRedriven"
          Effect = "Allow"
          Action = "sqs:SendMessage"
          Resource = [
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-scheduler",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-on-demand",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-manifests",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-collector",
          ]
        },
        {
          Sid    = "ReadAndSteer"
          Effect = "Allow"
          Action = [
            "dynamodb:UpdateItem",
            "dynamodb:Query",
            "dynamodb:PutItem",
            "dynamodb:GetItem",
            "dynamodb:BatchGetItem",
          ]
          Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/dev-quarry-ledger"
        },
        {
          Sid    = "ReadResults"
          Effect = "Allow"
          Action = "s3:GetObject"
          Resource = [
            "arn:aws:s3:::dev-quarry-123456789012/rows/*",
            "arn:aws:s3:::dev-quarry-123456789012/results/*",
            "arn:aws:s3:::dev-quarry-123456789012/prompts/*",
            "arn:aws:s3:::dev-quarry-123456789012/plans/*",
            "arn:aws:s3:::dev-quarry-123456789012/outcomes/*",
            "arn:aws:s3:::dev-quarry-123456789012/on-demand/*",
            "arn:aws:s3:::dev-quarry-123456789012/inputs/*",
            "arn:aws:s3:::dev-quarry-123456789012/batch-output/*",
          ]
        },
        {
          Sid      = "ListResults"
          Effect   = "Allow"
          Action   = "s3:ListBucket"
          Resource = "arn:aws:s3:::dev-quarry-123456789012"
          Condition = {
            StringLikeIfExists = {
              "s3:prefix" = [
                "results/*",
                "prompts/*",
                "outcomes/*",
                "inputs/*",
                "plans/*",
                "rows/*",
                "batch-output/*",
                "on-demand/*",
              ]
            }
          }
        },
        {
          Sid      = "AskLogs"
          Effect   = "Allow"
          Action   = ["logs:StartQuery", "logs:GetQueryResults"]
          Resource = "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/dev-quarry-*"
        },
        {
          Sid      = "CountTokens"
          Effect   = "Allow"
          Action   = "bedrock:CountTokens"
          Resource = "arn:aws:bedrock:us-east-1::foundation-model/*"
        },
        {
          Sid      = "SeeJobs"
          Effect   = "Allow"
          Action   = "bedrock:GetModelInvocationJob"
          Resource = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/*"
        },
        {
          Sid       = "StopOwnJobs"
          Effect    = "Allow"
          Action    = "bedrock:StopModelInvocationJob"
          Resource  = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/*"
          Condition = { StringEquals = { "aws:ResourceTag/quarry-env" = "dev" } }
        },
        {
          Sid    = "TakeDeadLetters"
          Effect = "Allow"
          Action = [
            "sqs:StartMessageMoveTask",
            "sqs:ReceiveMessage",
            "sqs:ListMessageMoveTasks",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:CancelMessageMoveTask",
          ]
          Resource = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-*-dlq"
        },
        {
          Sid    = "SeeQueues"
          Effect = "Allow"
          Action = [
            "sqs:GetQueueUrl",
            "sqs:GetQueueAttributes",
          ]
          Resource = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-*"
        },
        {
          Sid    = "SeeBucket"
          Effect = "Allow"
          Action = [
            "s3:GetEncryptionConfiguration",
            "s3:GetBucketVersioning",
            "s3:GetBucketPublicAccessBlock",
            "s3:GetBucketPolicy",
            "s3:GetBucketLocation",
          ]
          Resource = "arn:aws:s3:::dev-quarry-123456789012"
        },
        {
          Sid    = "SeeLedger"
          Effect = "Allow"
          Action = [
            "dynamodb:DescribeTimeToLive",
            "dynamodb:DescribeTable",
            "dynamodb:DescribeContinuousBackups",
          ]
          Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/dev-quarry-ledger"
        },
        {
          Sid    = "SeeRule"
          Effect = "Allow"
          Action = [
            "events:ListTargetsByRule",
            "events:DescribeRule",
          ]
          Resource = "arn:aws:events:us-east-1:123456789012:rule/dev-quarry-job-events"
        },
        {
          Sid      = "SeeSchedule"
          Effect   = "Allow"
          Action   = "scheduler:GetSchedule"
          Resource = "arn:aws:scheduler:us-east-1:123456789012:schedule/default/dev-quarry-sweep"
        },
        {
          Sid    = "SeeRoles"
          Effect = "Allow"
          Action = [
            "iam:SimulatePrincipalPolicy",
            "iam:ListRolePolicies",
            "iam:ListAttachedRolePolicies",
            "iam:GetRolePolicy",
            "iam:GetRole",
          ]
          Resource = [
            "arn:aws:iam::123456789012:role/dev-quarry-server",
            "arn:aws:iam::123456789012:role/dev-quarry-scheduler",
            "arn:aws:iam::123456789012:role/dev-quarry-bedrock",
          ]
        },
        {
          Sid    = "SeeAttachedPolicies"
          Effect = "Allow"
          Action = [
            "iam:GetPolicyVersion",
            "iam:GetPolicy",
          ]
          Resource = [
            "arn:aws:iam::aws:policy/*",
            "arn:aws:iam::123456789012:policy/*",
          ]
        },
        {
          Sid    = "SeeProfiles"
          Effect = "Allow"
          Action = "bedrock:GetInferenceProfile"
          Resource = [
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/*",
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/*",
          ]
        },
        {
          Sid    = "SeeWhatHasNoArn"
          Effect = "Allow"
          Action = [
            "servicequotas:ListServiceQuotas",
            "servicequotas:ListAWSDefaultServiceQuotas",
            "scheduler:ListSchedules",
            "events:TestEventPattern",
            "bedrock:ListModelInvocationJobs",
            "bedrock:ListInferenceProfiles",
            "bedrock:ListFoundationModels",
            "bedrock:GetFoundationModelAvailability",
          ]
          Resource = "*"
        },
      ]
    }
    error_message = "The operator's policy differs."
  }

  assert {
    condition = (
      aws_iam_policy.this.name == "dev-quarry-operator"
      && jsondecode(aws_iam_policy.this.policy) == jsondecode(output.policy_json)
    )
    error_message = "The managed policy must bear its name and hold that document."
  }
}

run "what_whoever_erases_may_do_besides" {
  command = plan

  assert {
    condition = jsondecode(output.eraser_policy_json) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "FindVersions"
          Effect   = "Allow"
          Action   = "s3:ListBucketVersions"
          Resource = "arn:aws:s3:::dev-quarry-123456789012"
        },
        {
          Sid    = "EraseVersions"
          Effect = "Allow"
          Action = ["s3:DeleteObjectVersion", "s3:DeleteObject"]
          Resource = [
            "arn:aws:s3:::dev-quarry-123456789012/rows/*",
            "arn:aws:s3:::dev-quarry-123456789012/results/*",
            "arn:aws:s3:::dev-quarry-123456789012/plans/*",
            "arn:aws:s3:::dev-quarry-123456789012/outcomes/*",
            "arn:aws:s3:::dev-quarry-123456789012/on-demand/*",
            "arn:aws:s3:::dev-quarry-123456789012/batch-output/*",
            "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
            "arn:aws:s3:::dev-quarry-123456789012/again/*",
          ]
        },
        {
          Sid      = "EraseItems"
          Effect   = "Allow"
          Action   = "dynamodb:DeleteItem"
          Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/dev-quarry-ledger"
        },
      ]
    }
    error_message = "The eraser's policy names the run's folders and the ledger, and neither sources nor prompts."
  }
}

run "with_a_key_it_may_be_used_through_the_services_that_hold_the_data_and_looked_at" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
  }

  assert {
    condition = [for statement in jsondecode(output.policy_json).Statement : statement if strcontains(statement.Sid, "Key")] == [
      {
        Sid       = "DecryptWithKey"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
        Condition = { StringEquals = { "kms:ViaService" = ["s3.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com", "dynamodb.us-east-1.amazonaws.com"] } }
      },
      {
        Sid       = "EncryptWithKey"
        Effect    = "Allow"
        Action    = "kms:GenerateDataKey"
        Resource  = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
        Condition = { StringEquals = { "kms:ViaService" = ["s3.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com"] } }
      },
      {
        Sid      = "SeeKey"
        Effect   = "Allow"
        Action   = ["kms:GetKeyPolicy", "kms:DescribeKey"]
        Resource = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
      },
    ]
    error_message = "The statements on the key differ."
  }
}

# Where names are longest: an environment of 8 characters in the partition and region with the longest names, with a key.
run "the_longest_names_leave_it_short_enough_for_iam" {
  command = plan

  variables {
    place       = { env = "research", region = "us-gov-west-1", account_id = "123456789012", partition = "aws-us-gov" }
    kms_key_arn = "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d0a1b"
  }

  assert {
    condition     = length(jsonencode(jsondecode(output.policy_json))) <= 6144
    error_message = "The policy has ${length(jsonencode(jsondecode(output.policy_json)))} characters; IAM takes 6144 in a managed policy."
  }
}

run "the_environments_key_by_its_alias" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:alias/dev-quarry"
  }

  expect_failures = [var.kms_key_arn]
}
