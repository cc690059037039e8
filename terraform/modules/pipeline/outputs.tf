output "environment" {
  description = "The containers' environment variables: where everything is, the quota, and `settings`."
  value       = local.environment
}

output "helm_values" {
  description = "The chart's `config` block (deploy/helm/quarry/values.schema.json): `terraform output -json helm_values`."
  value = merge(
    {
      env               = var.place.env
      region            = var.place.region
      bucket            = module.data_bucket.bucket
      table             = module.ledger.table
      bedrockRoleArn    = module.names.roles["bedrock"].arn
      queues            = { for key, queue in module.queue : key => { url = queue.url, dlqUrl = queue.dlq_url } }
      eventTargetDlqUrl = module.job_events.target_dlq_url
      jobQuota          = var.job_quota
      onDemand          = var.on_demand
      promptTextDays    = var.prompt_text_days
      roleArns          = local.role_arns
    },
    length(var.job_tags) == 0 ? {} : { jobTags = var.job_tags },
    var.budget_usd == null ? {} : { budgetUsd = var.budget_usd },
    var.read_batch_metrics ? { readBatchMetrics = true } : {},
  )
}

output "role_arns" {
  description = "ARN of the role of each service, and of the page where there is one."
  value       = local.role_arns
}

output "bedrock_role_arn" {
  description = "ARN of the role that Bedrock uses."
  value       = module.bedrock_batch_role.role_arn
}

output "instance_profile" {
  description = "Name of the instance profile of the server's role; null unless runtime is ec2."
  value       = module.service_roles.instance_profile
}

output "operator_policy_arn" {
  description = "ARN of the managed policy for those who submit, monitor and cancel: attach it to people's roles."
  value       = module.operator_policy.policy_arn
}

output "eraser_policy_json" {
  description = "What `quarry erase` needs beside the operators' policy, as JSON. Nobody has it unless you attach it."
  value       = module.operator_policy.eraser_policy_json
}

output "run_ended_topic_arn" {
  description = "ARN of the topic that hears of ended runs; null unless run_ended_topic."
  value       = one(module.run_notices[*].topic_arn)
}

output "bucket_arn" {
  description = "ARN of the environment's bucket."
  value       = module.data_bucket.bucket_arn
}

output "table_arn" {
  description = "ARN of the ledger's table."
  value       = module.ledger.table_arn
}

output "kms_key_arn" {
  description = "ARN of the KMS key; null where encryption is s3. Name it in manifests as output_kms_key."
  value       = local.kms_key_arn
}

output "network" {
  description = "vpc_id, private_subnet_ids, security_group_id and s3_endpoint_id of the network that was made; null where none was."
  value = one([
    for made in module.network : {
      vpc_id             = made.vpc_id
      private_subnet_ids = made.private_subnet_ids
      security_group_id  = made.security_group_id
      s3_endpoint_id     = made.s3_endpoint_id
    }
  ])
}

output "repository_urls" {
  description = "URL of each image's repository, to push to; empty where image_registry is false."
  value       = merge({}, module.image_registry[*].repository_urls...)
}

output "page" {
  description = "service_name, security_group_id and log_group_name of the page on ECS; null where there is none."
  value = one([
    for made in module.page_service : {
      service_name      = made.service_name
      security_group_id = made.security_group_id
      log_group_name    = made.log_group_name
    }
  ])
}

output "ecs" {
  description = "cluster_name, service_names, log_group_names and scrape_targets of the ECS services; null for other runtimes."
  value = one([
    for made in module.ecs_services : {
      cluster_name    = made.cluster_name
      service_names   = made.service_names
      log_group_names = made.log_group_names
      scrape_targets  = made.scrape_targets
    }
  ])
}
