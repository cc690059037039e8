locals {
  trail     = "${var.place.env}-quarry-audit"
  trail_arn = "arn:${var.place.partition}:cloudtrail:${var.place.region}:${var.place.account_id}:trail/${local.trail}"
  logs      = "${local.trail}-${var.place.account_id}"
  logs_arn  = "arn:${var.place.partition}:s3:::${local.logs}"
}

# Checks the place, whose parts the names above are made of.
module "names" {
  source = "../names"
  place  = var.place
}

resource "aws_cloudtrail" "audit" {
  name                          = local.trail
  s3_bucket_name                = aws_s3_bucket.logs.id
  kms_key_id                    = var.kms_key_arn
  enable_log_file_validation    = true
  include_global_service_events = false # they are management events, and an account has a trail of its own for those
  is_multi_region_trail         = false # the one bucket is in this region

  advanced_event_selector {
    name = "Objects of the data bucket"

    field_selector {
      field  = "eventCategory"
      equals = ["Data"]
    }

    field_selector {
      field  = "resources.type"
      equals = ["AWS::S3::Object"]
    }

    field_selector {
      field       = "resources.ARN"
      starts_with = ["${var.bucket_arn}/"]
    }
  }

  # CloudTrail tries to write when the trail is made.
  depends_on = [aws_s3_bucket_policy.logs, aws_s3_bucket_ownership_controls.logs]
}
