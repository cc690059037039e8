# The policies are compared whole.

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

run "services_of_aws_for_this_account_alone" {
  command = plan

  assert {
    condition = { for runtime in ["ecs", "ec2"] : runtime => jsondecode(output.policies[runtime]).Statement } == {
      ecs = [{
        Sid       = "EcsTasks"
        Effect    = "Allow"
        Principal = { Service = "ecs-tasks.amazonaws.com" }
        Action    = "sts:AssumeRole"
        Condition = {
          StringEquals = { "aws:SourceAccount" = "123456789012" }
          ArnLike      = { "aws:SourceArn" = "arn:aws:ecs:us-east-1:123456789012:*" }
        }
      }]
      ec2 = [{
        Sid       = "Server"
        Effect    = "Allow"
        Principal = { Service = "ec2.amazonaws.com" }
        Action    = "sts:AssumeRole"
      }]
    }
    error_message = "The trust of ECS's tasks or of a server differs."
  }
}

run "ecs_itself_for_this_account_alone" {
  command = plan

  assert {
    condition = jsondecode(output.execution_json) == {
      Version = "2012-10-17"
      Statement = [{
        Sid       = "TasksOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "ecs-tasks.amazonaws.com" }
        Action    = "sts:AssumeRole"
        Condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
      }]
    }
    error_message = "The trust of the role under which ECS starts a task differs."
  }
}

run "whoever_the_account_lets" {
  command = plan

  assert {
    condition = jsondecode(output.policies.none).Statement == [{
      Sid       = "TrustedPrincipals"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::123456789012:root" }
      Action    = "sts:AssumeRole"
    }]
    error_message = "Without principals the account itself decides."
  }
}

run "principals_by_name" {
  command = plan

  variables {
    principal_arns = ["arn:aws:iam::123456789012:user/runner"]
  }

  assert {
    condition     = jsondecode(output.policies.none).Statement[0].Principal == { AWS = "arn:aws:iam::123456789012:user/runner" }
    error_message = "The principals that are named, and no others, take the role."
  }
}
