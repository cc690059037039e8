# The policies are compared whole with what quarry_local.policies writes on emulators, statement for statement. The provider
# renders actions and resources in reverse order.

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
  runtime          = "ecs"
  bedrock_role_arn = "arn:aws:iam::123456789012:role/dev-quarry-bedrock"
  create_arns      = ["arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"]
}

run "what_the_preprocessor_may_do" {
  command = plan

  assert {
    condition = jsondecode(output.access_json["preprocessor"]) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid    = "TakeMessages"
          Effect = "Allow"
          Action = [
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
          ]
          Resource = [
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-manifests",
          ]
        },
        {
          Sid    = "SendMessages"
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
          Sid    = "DeadLetterMessages"
          Effect = "Allow"
          Action = "sqs:SendMessage"
          Resource = [
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices-dlq",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-manifests-dlq",
          ]
        },
        {
          Sid    = "CountMessages"
          Effect = "Allow"
          Action = "sqs:GetQueueAttributes"
          Resource = [
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices-dlq",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-manifests-dlq",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-manifests",
          ]
        },
        {
          Sid    = "KeepLedger"
          Effect = "Allow"
          Action = [
            "dynamodb:UpdateItem",
            "dynamodb:Query",
            "dynamodb:PutItem",
            "dynamodb:GetItem",
            "dynamodb:DeleteItem",
          ]
          Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/dev-quarry-ledger"
        },
        {
          Sid    = "ReadObjects"
          Effect = "Allow"
          Action = "s3:GetObject"
          Resource = [
            "arn:aws:s3:::dev-quarry-123456789012/rows/*",
            "arn:aws:s3:::dev-quarry-123456789012/results/*",
            "arn:aws:s3:::dev-quarry-123456789012/prompts/*",
            "arn:aws:s3:::dev-quarry-123456789012/plans/*",
            "arn:aws:s3:::dev-quarry-123456789012/inputs/*",
            "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
            "arn:aws:s3:::dev-quarry-123456789012/again/*",
          ]
        },
        {
          Sid      = "ReadPinnedVersions"
          Effect   = "Allow"
          Action   = "s3:GetObjectVersion"
          Resource = "arn:aws:s3:::dev-quarry-123456789012/inputs/*"
        },
        {
          Sid    = "WriteObjects"
          Effect = "Allow"
          Action = "s3:PutObject"
          Resource = [
            "arn:aws:s3:::dev-quarry-123456789012/rows/*",
            "arn:aws:s3:::dev-quarry-123456789012/plans/*",
            "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
            "arn:aws:s3:::dev-quarry-123456789012/again/*",
          ]
        },
        {
          Sid    = "AbortUploads"
          Effect = "Allow"
          Action = "s3:AbortMultipartUpload"
          Resource = [
            "arn:aws:s3:::dev-quarry-123456789012/rows/*",
            "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
            "arn:aws:s3:::dev-quarry-123456789012/again/*",
          ]
        },
        {
          Sid      = "ListObjects"
          Effect   = "Allow"
          Action   = "s3:ListBucket"
          Resource = "arn:aws:s3:::dev-quarry-123456789012"
          Condition = {
            StringLikeIfExists = {
              "s3:prefix" = [
                "inputs/*",
                "prompts/*",
                "plans/*",
                "rows/*",
                "batch-input/*",
                "again/*",
                "results/*",
              ]
            }
          }
        },
      ]
    }
    error_message = "The preprocessor's policy differs."
  }
}

run "what_the_scheduler_may_do" {
  command = plan

  assert {
    condition = jsondecode(output.access_json["scheduler"]) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid    = "TakeMessages"
          Effect = "Allow"
          Action = [
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
          ]
          Resource = [
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-scheduler",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-on-demand",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events",
          ]
        },
        {
          Sid    = "SendMessages"
          Effect = "Allow"
          Action = "sqs:SendMessage"
          Resource = [
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-on-demand",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-collector",
          ]
        },
        {
          Sid    = "DeadLetterMessages"
          Effect = "Allow"
          Action = "sqs:SendMessage"
          Resource = [
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-scheduler-dlq",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-on-demand-dlq",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events-dlq",
          ]
        },
        {
          Sid    = "CountMessages"
          Effect = "Allow"
          Action = "sqs:GetQueueAttributes"
          Resource = [
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-slices",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-scheduler-dlq",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-scheduler",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-on-demand-dlq",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-on-demand",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events-dlq",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-events",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-event-target-dlq",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-collector",
          ]
        },
        {
          Sid    = "KeepLedger"
          Effect = "Allow"
          Action = [
            "dynamodb:UpdateItem",
            "dynamodb:Query",
            "dynamodb:PutItem",
            "dynamodb:GetItem",
            "dynamodb:DeleteItem",
            "dynamodb:BatchGetItem",
          ]
          Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/dev-quarry-ledger"
        },
        {
          Sid    = "CreateJobs"
          Effect = "Allow"
          Action = "bedrock:CreateModelInvocationJob"
          Resource = [
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
            "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/*",
          ]
        },
        {
          Sid      = "FollowJobs"
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
          Sid       = "TagOwnJobs"
          Effect    = "Allow"
          Action    = "bedrock:TagResource"
          Resource  = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/*"
          Condition = { StringEquals = { "aws:RequestTag/quarry-env" = "dev" } }
        },
        {
          Sid      = "ListJobs"
          Effect   = "Allow"
          Action   = "bedrock:ListModelInvocationJobs"
          Resource = "*"
        },
        {
          Sid      = "ReadQuotas"
          Effect   = "Allow"
          Action   = "servicequotas:ListServiceQuotas"
          Resource = "*"
        },
        {
          Sid      = "ReadDefaultQuotas"
          Effect   = "Allow"
          Action   = "servicequotas:ListAWSDefaultServiceQuotas"
          Resource = "*"
        },
        {
          Sid      = "NameModels"
          Effect   = "Allow"
          Action   = "bedrock:ListFoundationModels"
          Resource = "*"
        },
        {
          Sid      = "PassBedrockRole"
          Effect   = "Allow"
          Action   = "iam:PassRole"
          Resource = "arn:aws:iam::123456789012:role/dev-quarry-bedrock"
          Condition = {
            StringEquals = {
              "iam:PassedToService" = "bedrock.amazonaws.com"
            }
          }
        },
      ]
    }
    error_message = "The scheduler's policy differs."
  }
}

run "what_the_scheduler_may_do_where_records_are_asked_on_demand" {
  command = plan

  variables {
    on_demand_arns = ["arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"]
    kms_key_arn    = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
  }

  assert {
    condition = {
      for statement in jsondecode(output.access_json["scheduler"]).Statement : statement.Sid => [statement.Action, statement.Resource]
      if contains(["AskOnDemand", "ReadObjects", "WriteObjects", "AbortUploads", "ListObjects"], statement.Sid)
      } == {
      AskOnDemand  = ["bedrock:InvokeModel", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"]
      ReadObjects  = ["s3:GetObject", ["arn:aws:s3:::dev-quarry-123456789012/on-demand/*", "arn:aws:s3:::dev-quarry-123456789012/batch-input/*"]]
      WriteObjects = ["s3:PutObject", "arn:aws:s3:::dev-quarry-123456789012/on-demand/*"]
      AbortUploads = ["s3:AbortMultipartUpload", "arn:aws:s3:::dev-quarry-123456789012/on-demand/*"]
      ListObjects  = ["s3:ListBucket", "arn:aws:s3:::dev-quarry-123456789012"]
    }
    error_message = "The scheduler must ask these models and no other, read what is asked, and write what is answered."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(output.access_json["scheduler"]).Statement :
      contains(flatten([statement.Condition.StringEquals["kms:ViaService"]]), "s3.us-east-1.amazonaws.com")
      if strcontains(statement.Sid, "WithKey")
    ])
    error_message = "What lies in the bucket is encrypted with the environment's key."
  }
}

run "application_profiles_are_seen_by_the_preprocessor_alone" {
  command = plan

  variables {
    application_profile_arns = ["arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"]
  }

  assert {
    condition = {
      for service, json in output.access_json : service => [
        for statement in jsondecode(json).Statement : [statement.Sid, statement.Resource]
        if statement.Action == "bedrock:GetInferenceProfile"
      ]
      } == {
      preprocessor = [["SeeApplicationProfiles", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"]]
      scheduler    = []
      collector    = []
    }
    error_message = "The preprocessor must be able to look up the model behind these profiles, and nobody else needs to."
  }
}

run "application_profiles_are_named_one_by_one" {
  command = plan

  variables {
    application_profile_arns = ["arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/*"]
  }

  expect_failures = [var.application_profile_arns]
}

run "what_the_collector_may_do" {
  command = plan

  assert {
    condition = jsondecode(output.access_json["collector"]) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid    = "TakeMessages"
          Effect = "Allow"
          Action = [
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
          ]
          Resource = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-collector"
        },
        {
          Sid    = "SendMessages"
          Effect = "Allow"
          Action = "sqs:SendMessage"
          Resource = [
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-scheduler",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-on-demand",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-collector",
          ]
        },
        {
          Sid      = "DeadLetterMessages"
          Effect   = "Allow"
          Action   = "sqs:SendMessage"
          Resource = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-collector-dlq"
        },
        {
          Sid    = "CountMessages"
          Effect = "Allow"
          Action = "sqs:GetQueueAttributes"
          Resource = [
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-collector-dlq",
            "arn:aws:sqs:us-east-1:123456789012:dev-quarry-collector",
          ]
        },
        {
          Sid    = "KeepLedger"
          Effect = "Allow"
          Action = [
            "dynamodb:UpdateItem",
            "dynamodb:Query",
            "dynamodb:PutItem",
            "dynamodb:GetItem",
            "dynamodb:DeleteItem",
          ]
          Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/dev-quarry-ledger"
        },
        {
          Sid    = "ReadObjects"
          Effect = "Allow"
          Action = "s3:GetObject"
          Resource = [
            "arn:aws:s3:::dev-quarry-123456789012/rows/*",
            "arn:aws:s3:::dev-quarry-123456789012/results/*",
            "arn:aws:s3:::dev-quarry-123456789012/plans/*",
            "arn:aws:s3:::dev-quarry-123456789012/outcomes/*",
            "arn:aws:s3:::dev-quarry-123456789012/on-demand/*",
            "arn:aws:s3:::dev-quarry-123456789012/inputs/*",
            "arn:aws:s3:::dev-quarry-123456789012/batch-output/*",
            "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
            "arn:aws:s3:::dev-quarry-123456789012/again/*",
          ]
        },
        {
          Sid      = "ReadPinnedVersions"
          Effect   = "Allow"
          Action   = "s3:GetObjectVersion"
          Resource = "arn:aws:s3:::dev-quarry-123456789012/inputs/*"
        },
        {
          Sid    = "WriteObjects"
          Effect = "Allow"
          Action = "s3:PutObject"
          Resource = [
            "arn:aws:s3:::dev-quarry-123456789012/results/*",
            "arn:aws:s3:::dev-quarry-123456789012/plans/*",
            "arn:aws:s3:::dev-quarry-123456789012/outcomes/*",
            "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
            "arn:aws:s3:::dev-quarry-123456789012/again/*",
          ]
        },
        {
          Sid    = "AbortUploads"
          Effect = "Allow"
          Action = "s3:AbortMultipartUpload"
          Resource = [
            "arn:aws:s3:::dev-quarry-123456789012/results/*",
            "arn:aws:s3:::dev-quarry-123456789012/outcomes/*",
            "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
            "arn:aws:s3:::dev-quarry-123456789012/again/*",
          ]
        },
        {
          Sid      = "DeleteObjects"
          Effect   = "Allow"
          Action   = "s3:DeleteObject"
          Resource = "arn:aws:s3:::dev-quarry-123456789012/batch-input/*"
        },
        {
          Sid      = "ListObjects"
          Effect   = "Allow"
          Action   = "s3:ListBucket"
          Resource = "arn:aws:s3:::dev-quarry-123456789012"
          Condition = {
            StringLikeIfExists = {
              "s3:prefix" = [
                "inputs/*",
                "plans/*",
                "rows/*",
                "batch-input/*",
                "batch-output/*",
                "on-demand/*",
                "outcomes/*",
                "again/*",
                "results/*",
              ]
            }
          }
        },
        {
          Sid      = "ReportRuns"
          Effect   = "Allow"
          Action   = "events:PutEvents"
          Resource = "arn:aws:events:us-east-1:123456789012:event-bus/default"
          Condition = {
            StringEqualsIfExists = {
              "events:source" = "quarry.dev"
            }
          }
        },
      ]
    }
    error_message = "The collector's policy differs."
  }
}

# Who may take a role is compared whole in module role_trust; here, that it is the document of the runtime.

run "ecs_tasks_of_this_account_take_the_roles" {
  command = plan

  assert {
    condition = { for role, json in output.trust_json : role => [for statement in jsondecode(json).Statement : statement.Sid] } == {
      for role in ["collector", "preprocessor", "scheduler"] : role => ["EcsTasks"]
    }
    error_message = "The trust policies differ."
  }

  assert {
    condition = {
      for key, role in aws_iam_role.this : key => [role.name, role.permissions_boundary == null]
      } == {
      preprocessor = ["dev-quarry-preprocessor", true]
      scheduler    = ["dev-quarry-scheduler", true]
      collector    = ["dev-quarry-collector", true]
    }
    error_message = "There must be one role for each service."
  }

  assert {
    condition = alltrue([
      for service, policy in aws_iam_role_policy.access :
      policy.name == "access" && policy.role == "dev-quarry-${service}" && jsondecode(policy.policy) == jsondecode(output.access_json[service])
    ])
    error_message = "Each role must hold its service's policy, under the name access."
  }

  assert {
    condition = output.role_arns == {
      preprocessor = "arn:aws:iam::123456789012:role/dev-quarry-preprocessor"
      scheduler    = "arn:aws:iam::123456789012:role/dev-quarry-scheduler"
      collector    = "arn:aws:iam::123456789012:role/dev-quarry-collector"
    } && output.instance_profile == null
    error_message = "The roles' ARNs differ, or there is an instance profile without a server."
  }
}

run "a_server_has_one_role_with_three_policies_and_an_instance_profile" {
  command = plan

  variables {
    runtime                  = "ec2"
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/boundary"
  }

  assert {
    condition     = [for statement in jsondecode(output.trust_json["server"]).Statement : statement.Sid] == ["Server"]
    error_message = "The server's trust policy differs."
  }

  assert {
    condition = (
      keys(aws_iam_role.this) == ["server"]
      && aws_iam_role.this["server"].name == "dev-quarry-server"
      && aws_iam_role.this["server"].permissions_boundary == "arn:aws:iam::123456789012:policy/boundary"
      && output.instance_profile == "dev-quarry-server"
      && aws_iam_instance_profile.server[0].role == "dev-quarry-server"
    )
    error_message = "There must be one role, within the boundary, and its instance profile."
  }

  assert {
    condition     = { for policy in aws_iam_role_policy.access : policy.name => policy.role } == { for service in ["collector", "preprocessor", "scheduler"] : service => "dev-quarry-server" }
    error_message = "The server's role must hold one policy for each service, named after it."
  }

  assert {
    condition     = output.role_arns == { for service in ["collector", "preprocessor", "scheduler"] : service => "arn:aws:iam::123456789012:role/dev-quarry-server" }
    error_message = "All services must run under the server's role."
  }
}

run "without_a_runtime_the_account_takes_the_roles" {
  command = plan

  variables {
    runtime = "none"
  }

  assert {
    condition = { for role, json in output.trust_json : role => [for statement in jsondecode(json).Statement : statement.Sid] } == {
      for role in ["collector", "preprocessor", "scheduler"] : role => ["TrustedPrincipals"]
    }
    error_message = "The trust policies differ."
  }
}

run "without_a_runtime_named_principals_take_the_roles" {
  command = plan

  variables {
    runtime                = "none"
    trusted_principal_arns = ["arn:aws:iam::123456789012:role/deployer"]
  }

  assert {
    condition     = jsondecode(output.trust_json["scheduler"]).Statement[0].Principal == { AWS = "arn:aws:iam::123456789012:role/deployer" }
    error_message = "Only the named principal may take the role."
  }
}

run "on_eks_the_trust_is_the_one_that_is_given" {
  command = plan

  variables {
    runtime = "eks"
    trust_policies = {
      preprocessor = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"P\"}]}"
      scheduler    = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"S\"}]}"
      collector    = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"C\"}]}"
    }
  }

  assert {
    condition = {
      for service, role in aws_iam_role.this : service => jsondecode(role.assume_role_policy).Statement[0].Sid
    } == { preprocessor = "P", scheduler = "S", collector = "C" }
    error_message = "Each role must have its own service account's trust."
  }
}

run "other_buckets_are_read_by_those_who_read_sources_and_never_written" {
  command = plan

  variables {
    source_buckets      = ["research-data"]
    source_kms_key_arns = ["arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d"]
  }

  assert {
    condition = alltrue([
      for service in ["collector", "preprocessor"] : [
        for statement in jsondecode(output.access_json[service]).Statement :
        statement if strcontains(jsonencode(statement), "research-data") || startswith(jsonencode(statement.Action), "\"kms:")
        ] == [
        {
          Sid      = "ReadSourceBuckets"
          Effect   = "Allow"
          Action   = ["s3:GetObjectVersion", "s3:GetObject"]
          Resource = "arn:aws:s3:::research-data/*"
        },
        {
          Sid      = "ListSourceBuckets"
          Effect   = "Allow"
          Action   = "s3:ListBucket"
          Resource = "arn:aws:s3:::research-data"
        },
        {
          Sid       = "DecryptSources"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d"
          Condition = { StringEquals = { "kms:ViaService" = "s3.eu-west-1.amazonaws.com" } }
        },
      ]
    ])
    error_message = "Preprocessor and collector must read the bucket, list it, and see that a source is gone."
  }

  assert {
    condition     = !strcontains(output.access_json["scheduler"], "research-data") && !strcontains(output.access_json["scheduler"], "s3:")
    error_message = "A scheduler that asks nothing on demand reads no object at all."
  }
}

run "the_environments_key_is_used_only_through_the_services_that_hold_the_data" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
  }

  assert {
    condition = {
      for service, json in output.access_json : service => [
        for statement in jsondecode(json).Statement : statement if strcontains(statement.Sid, "WithKey")
      ]
      } == {
      for service, by in {
        preprocessor = { decrypt = ["s3.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com", "dynamodb.us-east-1.amazonaws.com"], encrypt = ["s3.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com"] }
        scheduler    = { decrypt = ["sqs.us-east-1.amazonaws.com", "dynamodb.us-east-1.amazonaws.com"], encrypt = "sqs.us-east-1.amazonaws.com" }
        collector    = { decrypt = ["s3.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com", "dynamodb.us-east-1.amazonaws.com"], encrypt = ["s3.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com"] }
        } : service => [
        {
          Sid       = "DecryptWithKey"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
          Condition = { StringEquals = { "kms:ViaService" = by.decrypt } }
        },
        {
          Sid       = "EncryptWithKey"
          Effect    = "Allow"
          Action    = "kms:GenerateDataKey"
          Resource  = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
          Condition = { StringEquals = { "kms:ViaService" = by.encrypt } }
        },
      ]
    }
    error_message = "The statements on the key differ."
  }
}

run "a_server_with_too_many_models_is_refused_before_iam_does" {
  command = plan

  variables {
    runtime     = "ec2"
    create_arns = [for number in range(60) : "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:${number}"]
  }

  expect_failures = [aws_iam_role.this]
}

run "a_runtime_that_is_not_known" {
  command = plan

  variables {
    runtime = "lambda"
  }

  expect_failures = [var.runtime]
}

run "eks_without_its_trust_policies" {
  command = plan

  variables {
    runtime = "eks"
  }

  expect_failures = [var.trust_policies]
}

run "principals_for_a_runtime_that_has_its_own" {
  command = plan

  variables {
    trusted_principal_arns = ["arn:aws:iam::123456789012:role/deployer"]
  }

  expect_failures = [var.trusted_principal_arns]
}

run "everybody_as_a_principal" {
  command = plan

  variables {
    runtime                = "none"
    trusted_principal_arns = ["*"]
  }

  expect_failures = [var.trusted_principal_arns]
}

run "all_models_at_once" {
  command = plan

  variables {
    create_arns = ["arn:aws:bedrock:us-east-1::foundation-model/*"]
  }

  expect_failures = [var.create_arns]
}

run "all_roles_at_once" {
  command = plan

  variables {
    bedrock_role_arn = "arn:aws:iam::123456789012:role/*"
  }

  expect_failures = [var.bedrock_role_arn]
}

run "a_source_bucket_that_is_an_address" {
  command = plan

  variables {
    source_buckets = ["s3://research-data"]
  }

  expect_failures = [var.source_buckets]
}

run "a_key_by_its_alias" {
  command = plan

  variables {
    source_kms_key_arns = ["arn:aws:kms:us-east-1:123456789012:alias/data"]
  }

  expect_failures = [var.source_kms_key_arns]
}

run "the_environments_key_by_its_alias" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:alias/dev-quarry"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_boundary_that_is_a_name" {
  command = plan

  variables {
    permissions_boundary_arn = "boundary"
  }

  expect_failures = [var.permissions_boundary_arn]
}

run "the_models_of_a_global_profile_have_no_region" {
  command = plan

  variables {
    create_arns = ["arn:aws:bedrock:::foundation-model/anthropic.claude-sonnet-4-20250514-v1:0"]
  }

  assert {
    condition = one([for statement in jsondecode(output.access_json["scheduler"]).Statement : statement.Resource if statement.Sid == "CreateJobs"]) == [
      "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/*",
      "arn:aws:bedrock:::foundation-model/anthropic.claude-sonnet-4-20250514-v1:0",
    ]
    error_message = "Such an ARN must stand as it is."
  }
}

run "metrics_are_read_by_the_scheduler_alone_and_only_if_asked_for" {
  command = plan

  variables {
    read_batch_metrics = true
  }
  assert {
    condition = { for service, document in data.aws_iam_policy_document.access : service => [for statement in jsondecode(document.json).Statement : "${statement.Action} ${statement.Resource}" if statement.Sid == "ReadBatchMetrics"] } == {
      collector    = []
      preprocessor = []
      scheduler    = ["cloudwatch:GetMetricData *"]
    }
    error_message = "Only the scheduler reads metrics."
  }
}

run "metrics_are_not_read_by_default" {
  command = plan

  assert {
    condition     = alltrue([for document in data.aws_iam_policy_document.access : !strcontains(document.json, "cloudwatch:")])
    error_message = "Nobody may read metrics unless it is asked for."
  }
}
