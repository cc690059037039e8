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

# Roles for service accounts of a cluster that stands: EKS Pod Identity binds each service account to its role.
module "pipeline" {
  source = "../../modules/pipeline"

  place   = local.place
  models  = var.models
  runtime = "eks"
  eks     = { cluster_name = var.cluster_name, namespace = var.namespace }
  page    = {} # its role, should the chart run the page

  deletion_protection = false
  force_destroy       = true
}
