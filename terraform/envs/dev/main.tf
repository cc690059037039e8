provider "aws" {
  region              = var.region
  allowed_account_ids = var.account_id == null ? null : [var.account_id]

  default_tags {
    tags = { Project = "quarry", Environment = local.env }
  }
}

data "aws_caller_identity" "here" {}
data "aws_region" "here" {}
data "aws_partition" "here" {}

locals {
  env = "dev"
  place = {
    env        = local.env
    region     = data.aws_region.here.id
    account_id = data.aws_caller_identity.here.account_id
    partition  = data.aws_partition.here.partition
  }
}

# The services' roles may be assumed by whoever the account lets: run the services on your own machine, or change runtime.
module "pipeline" {
  source = "../../modules/pipeline"

  place            = local.place
  models           = var.models
  job_quota        = var.job_quota
  job_tags         = var.job_tags
  on_demand        = var.on_demand
  results_days     = var.results_days
  prompt_text_days = var.prompt_text_days
  source_buckets   = var.source_buckets
  runtime          = "none"
  page             = var.page

  # Trying things out leaves nothing worth keeping: `terraform destroy` empties the bucket.
  deletion_protection = false
  force_destroy       = true
}
