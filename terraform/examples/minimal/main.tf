provider "aws" {
  region = var.region

  default_tags {
    tags = { Project = "quarry", Environment = var.env }
  }
}

data "aws_caller_identity" "here" {}
data "aws_region" "here" {}
data "aws_partition" "here" {}

locals {
  place = {
    env        = var.env
    region     = data.aws_region.here.id
    account_id = data.aws_caller_identity.here.account_id
    partition  = data.aws_partition.here.partition
  }
}

# Bucket, ledger, queues, rule, schedule and roles; nothing that costs while it idles. The services run where you like,
# under roles that the principals below may assume.
module "pipeline" {
  source = "../../modules/pipeline"

  place                  = local.place
  models                 = var.models
  runtime                = "none"
  trusted_principal_arns = var.trusted_principal_arns

  deletion_protection = false
  force_destroy       = true
}
