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

# For data that must not leave: a key of its own, jobs that reach the bucket from your VPC alone, and a role of Bedrock's that
# can neither write its input nor read its output.
module "network" {
  source = "../../modules/network"

  place              = local.place
  availability_zones = var.availability_zones
  egress             = "endpoints"
}

module "pipeline" {
  source = "../../modules/pipeline"

  place           = local.place
  models          = var.models
  runtime         = "none"
  encryption      = "kms"
  strict_prefixes = true
  vpc_for_jobs    = local.vpc_for_jobs

  deletion_protection = false
  force_destroy       = true
}

locals {
  vpc_for_jobs = {
    subnet_ids         = module.network.private_subnet_ids
    security_group_ids = [module.network.security_group_id]
  }
}
