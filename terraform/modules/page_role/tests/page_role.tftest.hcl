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
  place   = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  runtime = "ecs"
}

run "it_reads_what_it_shows_and_changes_nothing" {
  command = plan

  assert {
    condition = jsondecode(output.access_json) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "ReadLedger"
          Effect   = "Allow"
          Action   = ["dynamodb:Query", "dynamodb:GetItem", "dynamodb:BatchGetItem"]
          Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/dev-quarry-ledger"
        },
        {
          Sid    = "ReadResults"
          Effect = "Allow"
          Action = "s3:GetObject"
          Resource = [
            "arn:aws:s3:::dev-quarry-123456789012/results/*",
            "arn:aws:s3:::dev-quarry-123456789012/plans/*",
            "arn:aws:s3:::dev-quarry-123456789012/on-demand/*",
            "arn:aws:s3:::dev-quarry-123456789012/batch-output/*",
          ]
        },
        {
          Sid       = "ListResults"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = "arn:aws:s3:::dev-quarry-123456789012"
          Condition = { StringLikeIfExists = { "s3:prefix" = ["results/*", "plans/*", "batch-output/*", "on-demand/*"] } }
        },
        {
          Sid      = "ShowDeadLetters"
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"]
          Resource = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-*-dlq"
        },
      ]
    }
    error_message = "The policy of a page that only reads differs."
  }
  assert {
    condition     = aws_iam_role.this.name == "dev-quarry-page" && jsondecode(aws_iam_role_policy.access.policy) == jsondecode(output.access_json)
    error_message = "The role must bear its name and hold that policy."
  }
  assert {
    condition     = jsondecode(output.trust_json).Statement[0].Sid == "EcsTasks" && jsondecode(aws_iam_role.this.assume_role_policy) == jsondecode(output.trust_json) # whole in role_trust
    error_message = "On ECS only tasks of this account and region take the role."
  }
}

run "with_write_it_may_do_what_its_buttons_do" {
  command = plan

  variables {
    write = true
  }

  assert {
    condition = slice(jsondecode(output.access_json).Statement, 4, 7) == [
      {
        Sid      = "Steer"
        Effect   = "Allow"
        Action   = ["dynamodb:UpdateItem", "dynamodb:PutItem"]
        Resource = "arn:aws:dynamodb:us-east-1:123456789012:table/dev-quarry-ledger"
      },
      {
        Sid    = "WakeAndRedrive"
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
        Sid      = "TakeDeadLetters"
        Effect   = "Allow"
        Action   = "sqs:DeleteMessage"
        Resource = "arn:aws:sqs:us-east-1:123456789012:dev-quarry-*-dlq"
      },
    ] && length(jsondecode(output.access_json).Statement) == 7
    error_message = "With write it steers, wakes and redrives, and nothing else is added."
  }
}

run "with_a_key_it_decrypts_and_only_who_writes_encrypts" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
  }

  assert {
    condition = [for statement in jsondecode(output.access_json).Statement : statement if strcontains(statement.Sid, "Key")] == [{
      Sid       = "DecryptWithKey"
      Effect    = "Allow"
      Action    = "kms:Decrypt"
      Resource  = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
      Condition = { StringEquals = { "kms:ViaService" = ["s3.us-east-1.amazonaws.com", "sqs.us-east-1.amazonaws.com", "dynamodb.us-east-1.amazonaws.com"] } }
    }]
    error_message = "A page that only reads decrypts, and encrypts nothing."
  }
}

run "with_a_key_and_write" {
  command = plan

  variables {
    write       = true
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
  }

  assert {
    condition     = contains([for statement in jsondecode(output.access_json).Statement : statement.Sid], "EncryptWithKey")
    error_message = "Messages that are sent are encrypted."
  }
}

run "where_it_runs_nowhere_of_ours_the_principals_take_it" {
  command = plan

  variables {
    runtime                = "none"
    trusted_principal_arns = ["arn:aws:iam::123456789012:role/viewer"]
  }

  assert {
    condition     = jsondecode(output.trust_json).Statement[0].Principal == { AWS = "arn:aws:iam::123456789012:role/viewer" }
    error_message = "Only the named principal may take the role."
  }
}

run "a_server_has_no_role_of_the_page" {
  command = plan

  variables {
    runtime = "ec2"
  }

  expect_failures = [var.runtime]
}

run "a_cluster_needs_its_trust_policy" {
  command = plan

  variables {
    runtime = "eks"
  }

  expect_failures = [var.trust_policy]
}
