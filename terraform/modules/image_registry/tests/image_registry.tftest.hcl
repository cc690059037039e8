# One repository for each image, all alike.

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

run "a_repository_for_each_image" {
  command = plan

  assert {
    condition = { for image, repository in aws_ecr_repository.image : image => repository.name } == {
      preprocessor = "dev-quarry-preprocessor"
      scheduler    = "dev-quarry-scheduler"
      collector    = "dev-quarry-collector"
      cli          = "dev-quarry-cli"
    }
    error_message = "The repositories differ."
  }

  assert {
    condition = alltrue([
      for repository in aws_ecr_repository.image :
      repository.image_tag_mutability == "IMMUTABLE" && repository.image_scanning_configuration[0].scan_on_push &&
      repository.encryption_configuration[0].encryption_type == "AES256"
    ])
    error_message = "Tags must be immutable, images scanned and encrypted."
  }

  assert {
    condition = alltrue([
      for policy in aws_ecr_lifecycle_policy.image : jsondecode(policy.policy) == {
        rules = [
          {
            rulePriority = 1
            description  = "Untagged images are deleted after a week"
            selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 7 }
            action       = { type = "expire" }
          },
          {
            rulePriority = 2
            description  = "The newest 30 images are kept"
            selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 30 }
            action       = { type = "expire" }
          },
        ]
      }
    ]) && keys(aws_ecr_lifecycle_policy.image) == ["cli", "collector", "preprocessor", "scheduler"]
    error_message = "The lifecycle policies differ."
  }
}

run "one_image_a_key_and_fewer_images" {
  command = plan

  variables {
    images      = ["collector"]
    images_max  = 5
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }

  assert {
    condition = (
      keys(aws_ecr_repository.image) == ["collector"] &&
      aws_ecr_repository.image["collector"].encryption_configuration[0].encryption_type == "KMS" &&
      aws_ecr_repository.image["collector"].encryption_configuration[0].kms_key == var.kms_key_arn &&
      jsondecode(aws_ecr_lifecycle_policy.image["collector"].policy).rules[1].selection.countNumber == 5
    )
    error_message = "What is given must be what is used."
  }
}

run "refuses_an_image_that_quarry_does_not_have" {
  command = plan

  variables {
    images = ["collector", "simulator"]
  }

  expect_failures = [var.images]
}

run "refuses_to_keep_a_single_image" {
  command = plan

  variables {
    images_max = 1
  }

  expect_failures = [var.images_max]
}

run "refuses_an_alias" {
  command = plan

  variables {
    kms_key_arn = "alias/quarry"
  }

  expect_failures = [var.kms_key_arn]
}
