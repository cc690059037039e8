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

# The whole of it on Fargate: network, registry, services that scale with their queues, alarms by mail, a trail.
resource "aws_sns_topic" "alarms" {
  name = "${var.env}-quarry-alarms"
}

resource "aws_sns_topic_subscription" "mail" {
  for_each  = var.alarm_mail_addresses
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

module "pipeline" {
  source = "../../modules/pipeline"

  place  = local.place
  models = var.models

  runtime        = "ecs"
  ecs            = { image_tag = var.image_tag }
  page           = var.page_token_secret_arn == null ? null : { token = { secret_arn = var.page_token_secret_arn } }
  image_registry = true
  network        = { availability_zones = var.availability_zones, egress = "nat" }

  audit_trail     = true
  run_ended_topic = true
  alarms          = { action_arns = [aws_sns_topic.alarms.arn], oldest_message_s_max = 3600 }

  deletion_protection = false
  force_destroy       = true
}
