# One environment. Every ARN in a policy is made of names, so the whole of it can be read before anything stands, and
# modules may name each other's resources without waiting for them. Where AWS asks that something exists first (the roles
# that the bucket's policy names, the rights that a schedule is proven by), the reference is to the resource itself.

module "names" {
  source = "../names"
  place  = var.place
}

locals {
  # The key's id is known only when it is made. That there is a key is known before: the ARN begins with letters.
  kms_key_arn = var.encryption == "s3" ? null : format(
    "arn:%s:kms:%s:%s:key/%s", var.place.partition, var.place.region, var.place.account_id, module.encryption_key[0].key_id
  )
}

module "encryption_key" {
  count  = var.encryption == "kms" ? 1 : 0
  source = "../encryption_key"

  place                = var.place
  deletion_window_days = var.key_deletion_window_days
}

# ---------------------------------------------------------------------------- data

module "data_bucket" {
  source = "../data_bucket"

  place             = var.place
  kms_key_arn       = local.kms_key_arn
  bedrock_role_arn  = module.bedrock_batch_role.role_arn
  service_role_arns = module.service_roles.role_arns
  strict_prefixes   = var.strict_prefixes
  input_days        = var.input_days
  results_days      = var.results_days
  output_days       = var.output_days
  noncurrent_days   = var.noncurrent_days
  force_destroy     = var.force_destroy
}

module "ledger" {
  source = "../ledger"

  place               = var.place
  kms_key_arn         = local.kms_key_arn
  deletion_protection = var.deletion_protection
}

# ---------------------------------------------------------------------------- messages

module "queue" {
  for_each = module.names.queues
  source   = "../queue"

  place          = var.place
  key            = each.key
  kms_key_arn    = local.kms_key_arn
  event_rule_arn = each.key == "events" ? module.names.rule_arn : null
}

module "job_events" {
  source = "../job_events"

  place            = var.place
  events_queue_arn = module.queue["events"].arn
  kms_key_arn      = local.kms_key_arn
}

module "sweep_schedule" {
  source = "../sweep_schedule"

  place                    = var.place
  scheduler_queue_arn      = module.queue["scheduler"].arn
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.permissions_boundary_arn
}

# ---------------------------------------------------------------------------- who may do what

module "models" {
  source = "../models"

  place                = var.place
  models               = var.models
  application_profiles = var.application_profiles
}

module "bedrock_batch_role" {
  source = "../bedrock_batch_role"

  place                    = var.place
  invoke_arns              = module.models.invoke_arns
  strict_prefixes          = var.strict_prefixes
  kms_key_arn              = local.kms_key_arn
  vpc                      = var.vpc_for_jobs
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "eks_identity" {
  count  = var.runtime == "eks" ? 1 : 0
  source = "../eks_identity"

  place             = var.place
  mode              = var.eks.mode
  cluster_name      = var.eks.cluster_name
  oidc_provider_arn = var.eks.oidc_provider_arn
  oidc_issuer       = var.eks.oidc_issuer
  namespace         = var.eks.namespace
  service_accounts  = local.service_accounts
  role_arns         = local.role_arns
}

locals {
  # Nobody takes the role of a page that there is not.
  service_accounts = { for service, account in try(var.eks.service_accounts, {}) : service => account if service != "page" || var.page != null }
  role_arns        = merge(module.service_roles.role_arns, { for page in module.page_role : "page" => page.role_arn })
  trust_policies   = var.runtime == "eks" ? module.eks_identity[0].trust_policies : {}
}

module "service_roles" {
  source = "../service_roles"

  place                    = var.place
  runtime                  = var.runtime
  trust_policies           = { for service, trust in local.trust_policies : service => trust if service != "page" }
  trusted_principal_arns   = var.trusted_principal_arns
  bedrock_role_arn         = module.names.roles["bedrock"].arn
  create_arns              = module.models.create_arns
  application_profile_arns = keys(var.application_profiles)
  on_demand_arns           = var.on_demand ? module.models.create_arns : []
  source_buckets           = var.source_buckets
  source_kms_key_arns      = var.source_kms_key_arns
  read_batch_metrics       = var.read_batch_metrics
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "page_role" {
  count  = var.page == null ? 0 : 1
  source = "../page_role"

  place                    = var.place
  runtime                  = var.runtime
  trust_policy             = var.runtime == "eks" ? local.trust_policies.page : null
  trusted_principal_arns   = var.trusted_principal_arns
  write                    = var.page.write
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "operator_policy" {
  source = "../operator_policy"

  place       = var.place
  kms_key_arn = local.kms_key_arn
}

# ---------------------------------------------------------------------------- where the services run

module "network" {
  count  = var.network == null ? 0 : 1
  source = "../network"

  place              = var.place
  cidr               = var.network.cidr
  availability_zones = var.network.availability_zones
  egress             = var.network.egress
  on_demand          = var.on_demand
  source_buckets     = var.source_buckets
  secret_arns        = [for token in [try(var.page.token, null)] : token.secret_arn if token != null]

  flow_logs = var.network.flow_log_days == null ? null : {
    retention_days = var.network.flow_log_days
    kms_key_arn    = local.kms_key_arn
  }
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "image_registry" {
  count  = var.image_registry ? 1 : 0
  source = "../image_registry"

  place       = var.place
  kms_key_arn = local.kms_key_arn
}

module "ecs_services" {
  count  = var.runtime == "ecs" ? 1 : 0
  source = "../ecs_services"

  place             = var.place
  vpc_id            = local.where.vpc_id
  subnet_ids        = local.where.subnet_ids
  security_group_id = local.where.security_group_id

  role_arns       = module.service_roles.role_arns
  images          = local.images
  repository_arns = local.repository_arns
  environment     = local.environment
  services        = var.ecs.services
  autoscaling     = var.ecs_autoscaling

  hugging_face_token       = var.ecs.hugging_face_token
  webhook_key              = var.ecs.webhook_key
  rollback_on_dead_letters = var.ecs.rollback_on_dead_letters
  log_queries              = var.log_queries

  cpu_architecture               = var.ecs.cpu_architecture
  stop_timeout_s                 = var.ecs.stop_timeout_s
  log_retention_days             = var.ecs.log_retention_days
  kms_key_arn                    = local.kms_key_arn
  scrape_from_security_group_ids = var.ecs.scrape_from_security_group_ids
  scrape_from_cidrs              = var.ecs.scrape_from_cidrs
  permissions_boundary_arn       = var.permissions_boundary_arn
}

module "page_service" {
  count  = var.runtime == "ecs" && var.page != null ? 1 : 0
  source = "../page_service"

  place             = var.place
  cluster_arn       = module.ecs_services[0].cluster_arn
  namespace_id      = module.ecs_services[0].namespace_id
  vpc_id            = local.where.vpc_id
  subnet_ids        = local.where.subnet_ids
  security_group_id = local.where.security_group_id

  role_arn       = module.page_role[0].role_arn
  write          = var.page.write
  image          = var.page.image == null ? "${local.registry["cli"]}:${var.ecs.image_tag}" : var.page.image
  repository_arn = var.page.image == null ? "arn:${var.place.partition}:ecr:${var.place.region}:${var.place.account_id}:repository/${var.place.env}-quarry-cli" : var.page.repository_arn
  environment    = local.environment
  token          = var.page.token

  hosts                         = var.page.hosts
  dashboard_url                 = var.page.dashboard_url
  target_group_arn              = var.page.target_group_arn
  allow_from_security_group_ids = var.page.allow_from_security_group_ids
  allow_from_cidrs              = var.page.allow_from_cidrs

  cpu_architecture         = var.ecs.cpu_architecture
  log_retention_days       = var.ecs.log_retention_days
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.permissions_boundary_arn
}

locals {
  where = var.network == null ? try(var.ecs.placement, null) : {
    vpc_id            = module.network[0].vpc_id
    subnet_ids        = module.network[0].private_subnet_ids
    security_group_id = module.network[0].security_group_id
  }

  registry = merge({}, module.image_registry[*].repository_urls...)
  tagged   = try(var.ecs.image_tag, null) != null
  images   = local.tagged ? { for service in module.names.services : service => "${local.registry[service]}:${var.ecs.image_tag}" } : try(var.ecs.images, {})
  repository_arns = local.tagged ? [
    for service in module.names.services :
    "arn:${var.place.partition}:ecr:${var.place.region}:${var.place.account_id}:repository/${var.place.env}-quarry-${service}"
  ] : try(var.ecs.repository_arns, [])
}

# ---------------------------------------------------------------------------- watching

module "audit_trail" {
  count  = var.audit_trail ? 1 : 0
  source = "../audit_trail"

  place          = var.place
  bucket_arn     = module.data_bucket.bucket_arn
  retention_days = var.audit_retention_days
}

module "run_notices" {
  count  = var.run_ended_topic ? 1 : 0
  source = "../run_notices"

  place       = var.place
  kms_key_arn = local.kms_key_arn
}

module "alarms" {
  count  = var.alarms == null ? 0 : 1
  source = "../alarms"

  place                = var.place
  alarm_action_arns    = var.alarms.action_arns
  oldest_message_s_max = var.alarms.oldest_message_s_max
}
