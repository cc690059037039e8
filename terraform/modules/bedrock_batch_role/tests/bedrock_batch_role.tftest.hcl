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

run "as_aws_documents_it" {
  command = plan

  assert {
    condition = (
      aws_iam_role.bedrock.name == "dev-quarry-bedrock" && aws_iam_role_policy.access.name == "access" &&
      output.role_name == "dev-quarry-bedrock" && output.role_arn == "arn:aws:iam::123456789012:role/dev-quarry-bedrock"
    )
    error_message = "Names must be those that the services know."
  }

  assert {
    condition = jsondecode(output.trust_json) == jsondecode(<<-JSON
      {
        "Version": "2012-10-17",
        "Statement": [
          {
            "Sid": "BatchJobsOfThisAccount",
            "Effect": "Allow",
            "Principal": {"Service": "bedrock.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
              "StringEquals": {"aws:SourceAccount": "123456789012"},
              "ArnEquals": {"aws:SourceArn": "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/*"}
            }
          }
        ]
      }
      JSON
    )
    error_message = "Trust: Bedrock, for jobs of this account in this region."
  }

  assert {
    condition = jsondecode(output.access_json) == jsondecode(<<-JSON
      {
        "Version": "2012-10-17",
        "Statement": [
          {
            "Sid": "ReadAndWriteFiles",
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:GetObject"],
            "Resource": [
              "arn:aws:s3:::dev-quarry-123456789012/batch-output/*",
              "arn:aws:s3:::dev-quarry-123456789012/batch-input/*"
            ],
            "Condition": {"StringEquals": {"aws:ResourceAccount": "123456789012"}}
          },
          {
            "Sid": "ListFiles",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::dev-quarry-123456789012",
            "Condition": {
              "StringEquals": {"aws:ResourceAccount": "123456789012"},
              "StringLike": {"s3:prefix": ["batch-input/*", "batch-output/*"]}
            }
          }
        ]
      }
      JSON
    )
    error_message = "Access: three actions on two prefixes of one bucket."
  }

  assert {
    condition = (
      jsondecode(aws_iam_role_policy.access.policy) == jsondecode(output.access_json) &&
      jsondecode(aws_iam_role.bedrock.assume_role_policy) == jsondecode(output.trust_json)
    )
    error_message = "What is put out must be what is made."
  }
}

run "strict_prefixes" {
  command = plan
  variables { strict_prefixes = true }

  assert {
    condition = jsondecode(output.access_json) == jsondecode(<<-JSON
      {
        "Version": "2012-10-17",
        "Statement": [
          {
            "Sid": "ReadInput",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::dev-quarry-123456789012/batch-input/*",
            "Condition": {"StringEquals": {"aws:ResourceAccount": "123456789012"}}
          },
          {
            "Sid": "WriteOutput",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::dev-quarry-123456789012/batch-output/*",
            "Condition": {"StringEquals": {"aws:ResourceAccount": "123456789012"}}
          },
          {
            "Sid": "ListFiles",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::dev-quarry-123456789012",
            "Condition": {
              "StringEquals": {"aws:ResourceAccount": "123456789012"},
              "StringLike": {"s3:prefix": ["batch-input/*", "batch-output/*"]}
            }
          }
        ]
      }
      JSON
    )
    error_message = "Strict: read the input, write the output, list both."
  }
}

run "with_a_key_profiles_and_a_vpc" {
  command = plan
  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    invoke_arns = [
      "arn:aws:bedrock:::foundation-model/anthropic.claude-sonnet-4-6",
      "arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-sonnet-4-6",
    ]
    vpc                      = { subnet_ids = ["subnet-0a", "subnet-0b"], security_group_ids = ["sg-0c"] }
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/boundary"
  }

  assert {
    condition = [
      for statement in jsondecode(output.access_json).Statement : statement
      if !contains(["ReadAndWriteFiles", "ListFiles"], statement.Sid)
      ] == jsondecode(<<-JSON
      [
        {
          "Sid": "EncryptFiles",
          "Effect": "Allow",
          "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
          "Resource": "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555",
          "Condition": {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
        },
        {
          "Sid": "LookAtTheKey",
          "Effect": "Allow",
          "Action": "kms:DescribeKey",
          "Resource": "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
        },
        {
          "Sid": "InvokeProfilesAndTheirModels",
          "Effect": "Allow",
          "Action": "bedrock:InvokeModel",
          "Resource": [
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-sonnet-4-6",
            "arn:aws:bedrock:::foundation-model/anthropic.claude-sonnet-4-6"
          ]
        },
        {
          "Sid": "LookAtTheNetwork",
          "Effect": "Allow",
          "Action": [
            "ec2:DescribeVpcs",
            "ec2:DescribeSubnets",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeDhcpOptions"
          ],
          "Resource": "*"
        },
        {
          "Sid": "AttachJobsToTheNetwork",
          "Effect": "Allow",
          "Action": "ec2:CreateNetworkInterface",
          "Resource": [
            "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-0b",
            "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-0a",
            "arn:aws:ec2:us-east-1:123456789012:security-group/sg-0c",
            "arn:aws:ec2:us-east-1:123456789012:network-interface/*"
          ],
          "Condition": {
            "StringEquals": {"aws:RequestTag/BedrockManaged": "true"},
            "ArnEquals": {
              "aws:RequestTag/BedrockModelInvocationJobArn": "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/*"
            }
          }
        },
        {
          "Sid": "DetachJobsFromTheNetwork",
          "Effect": "Allow",
          "Action": ["ec2:DeleteNetworkInterface", "ec2:CreateNetworkInterfacePermission"],
          "Resource": "arn:aws:ec2:us-east-1:123456789012:network-interface/*",
          "Condition": {
            "StringEquals": {
              "ec2:Subnet": [
                "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-0a",
                "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-0b"
              ]
            },
            "ArnEquals": {
              "ec2:ResourceTag/BedrockModelInvocationJobArn": "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/*"
            }
          }
        },
        {
          "Sid": "TakePermissionsBack",
          "Effect": "Allow",
          "Action": "ec2:DeleteNetworkInterfacePermission",
          "Resource": "*",
          "Condition": {
            "StringEquals": {
              "ec2:Subnet": [
                "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-0a",
                "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-0b"
              ]
            },
            "ArnEquals": {
              "ec2:ResourceTag/BedrockModelInvocationJobArn": "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/*"
            }
          }
        },
        {
          "Sid": "TagInterfacesWhenMade",
          "Effect": "Allow",
          "Action": "ec2:CreateTags",
          "Resource": "arn:aws:ec2:us-east-1:123456789012:network-interface/*",
          "Condition": {
            "StringEquals": {"ec2:CreateAction": "CreateNetworkInterface"},
            "ForAllValues:StringEquals": {"aws:TagKeys": ["BedrockManaged", "BedrockModelInvocationJobArn"]}
          }
        }
      ]
      JSON
    )
    error_message = "The blocks for a key, for profiles and for a VPC."
  }

  assert {
    condition     = aws_iam_role.bedrock.permissions_boundary == "arn:aws:iam::123456789012:policy/boundary"
    error_message = "The boundary must be the role's."
  }
}

run "every_profile_is_a_pattern_and_refused" {
  command = plan
  variables { invoke_arns = ["arn:aws:bedrock:us-east-1:123456789012:inference-profile/*"] }
  expect_failures = [var.invoke_arns]
}

run "a_vpc_without_a_security_group" {
  command = plan
  variables { vpc = { subnet_ids = ["subnet-0a"], security_group_ids = [] } }
  expect_failures = [var.vpc]
}
