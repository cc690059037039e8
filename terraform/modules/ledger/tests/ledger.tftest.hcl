# The table is the one that `quarry local up` makes; Terraform adds the protection from deletion.

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

run "the_table" {
  command = plan

  assert {
    condition = {
      name       = aws_dynamodb_table.ledger.name
      billing    = aws_dynamodb_table.ledger.billing_mode
      hash       = aws_dynamodb_table.ledger.hash_key
      range      = aws_dynamodb_table.ledger.range_key
      attributes = { for attribute in aws_dynamodb_table.ledger.attribute : attribute.name => attribute.type }
      ttl        = [for ttl in aws_dynamodb_table.ledger.ttl : "${ttl.attribute_name} ${ttl.enabled}"]
      pitr       = [for pitr in aws_dynamodb_table.ledger.point_in_time_recovery : pitr.enabled]
      protection = aws_dynamodb_table.ledger.deletion_protection_enabled
      } == {
      name       = "dev-quarry-ledger"
      billing    = "PAY_PER_REQUEST"
      hash       = "pk"
      range      = "sk"
      attributes = { pk = "S", sk = "S" }
      ttl        = ["expires_at true"]
      pitr       = [true]
      protection = true
    }
    error_message = "The table differs."
  }

  assert {
    condition     = output.table == "dev-quarry-ledger"
    error_message = "The output differs."
  }
}

run "a_key_and_no_protection" {
  command = plan

  variables {
    kms_key_arn         = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    deletion_protection = false
  }

  assert {
    condition = (
      aws_dynamodb_table.ledger.server_side_encryption[0].enabled &&
      aws_dynamodb_table.ledger.server_side_encryption[0].kms_key_arn == var.kms_key_arn
    )
    error_message = "The table must be encrypted with the key."
  }

  assert {
    condition     = !aws_dynamodb_table.ledger.deletion_protection_enabled
    error_message = "The table must let itself be deleted."
  }
}

run "refuses_an_alias" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:alias/quarry"
  }

  expect_failures = [var.kms_key_arn]
}
