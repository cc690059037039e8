# Checks the place, whose env the names below begin with.
module "names" {
  source = "../names"
  place  = var.place
}

resource "aws_ecr_repository" "image" {
  for_each = var.images

  name                 = "${var.place.env}-quarry-${each.key}"
  image_tag_mutability = "IMMUTABLE" # a tag means one image, so that what is rolled back to is what once ran

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = var.kms_key_arn == null ? "AES256" : "KMS"
    kms_key         = var.kms_key_arn
  }
}

resource "aws_ecr_lifecycle_policy" "image" {
  for_each = aws_ecr_repository.image

  repository = each.value.name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Untagged images are deleted after a week"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 7 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "The newest ${var.images_max} images are kept"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = var.images_max }
        action       = { type = "expire" }
      },
    ]
  })
}
