# The root as it stands, planned with the real provider and another account's number.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

override_data {
  target = data.aws_caller_identity.here
  values = { account_id = "123456789012" }
}

run "eks" {
  command = plan

  assert {
    condition = output.role_arns == {
      for service in ["preprocessor", "scheduler", "collector", "page"] : service => "arn:aws:iam::123456789012:role/eks-quarry-${service}"
    }
    error_message = "The roles must be the environment's, in the account of the credentials."
  }
  assert {
    condition     = output.environment.QUARRY_BUCKET == "eks-quarry-123456789012" && output.environment.QUARRY_REGION == "us-east-1"
    error_message = "The environment must stand where the provider does."
  }
  assert {
    condition     = output.helm_values.env == "eks" && output.helm_values.jobQuota == 20
    error_message = "The chart must be told of the same environment."
  }
}
