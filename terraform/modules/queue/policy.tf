module "policy" {
  source         = "../queue_policy"
  queue_arn      = local.names.arn
  event_rule_arn = var.event_rule_arn
}

module "dead_policy" {
  source    = "../queue_policy"
  queue_arn = local.names.dlq_arn
}
