output "bucket" {
  description = "Name of the bucket of inputs, prompts, plans, jobs' files and results."
  value       = local.bucket
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = "${local.arn}:s3:::${local.bucket}"
}

output "table" {
  description = "Name of the ledger's table."
  value       = local.table
}

output "table_arn" {
  description = "ARN of the ledger's table."
  value       = "${local.arn}:dynamodb:${local.here}:table/${local.table}"
}

output "queues" {
  description = "The six queues and their dead-letter queues: key to name, arn, dlq_name and dlq_arn."
  value       = local.queues
}

output "rule" {
  description = "Name of the EventBridge rule that takes Bedrock's job events."
  value       = local.rule
}

output "rule_arn" {
  description = "ARN of that rule."
  value       = "${local.arn}:events:${local.here}:rule/${local.rule}"
}

output "event_bus_arn" {
  description = "ARN of the default event bus, on which AWS's services speak and the collector tells of ended runs."
  value       = "${local.arn}:events:${local.here}:event-bus/default"
}

output "event_target_dlq" {
  description = "Name of the queue of the events that the rule could not deliver."
  value       = local.dlq
}

output "event_target_dlq_arn" {
  description = "ARN of that queue."
  value       = "${local.arn}:sqs:${local.here}:${local.dlq}"
}

output "run_ended" {
  description = "Name of the rule and of the topic of ended runs."
  value       = local.ended
}

output "run_ended_rule_arn" {
  description = "ARN of that rule."
  value       = "${local.arn}:events:${local.here}:rule/${local.ended}"
}

output "run_ended_topic_arn" {
  description = "ARN of that topic."
  value       = "${local.arn}:sns:${local.here}:${local.ended}"
}

output "run_ended_dlq" {
  description = "Name of the queue of what the rule could not deliver to the topic."
  value       = "${local.ended}-dlq"
}

output "run_ended_dlq_arn" {
  description = "ARN of that queue."
  value       = "${local.arn}:sqs:${local.here}:${local.ended}-dlq"
}

output "schedule" {
  description = "Name of the sweep's schedule, in the schedule group `default`."
  value       = local.sweep
}

output "schedule_arn" {
  description = "ARN of the sweep's schedule."
  value       = "${local.arn}:scheduler:${local.here}:schedule/default/${local.sweep}"
}

output "roles" {
  description = "The roles: key (bedrock, preprocessor, scheduler, collector, sweep, server, execution, page, page-execution) to name and arn."
  value       = local.roles
}

output "operator_policy" {
  description = "Name of the managed policy for operators."
  value       = "${local.prefix}-operator"
}

output "env_tag" {
  description = "Tag that every job of the environment has; its value is the environment's name."
  value       = "quarry-env"
}

output "jobs_arn" {
  description = "Pattern of the ARNs of the account's batch jobs in the region: Bedrock gives a job its id only when it is made."
  value       = "${local.arn}:bedrock:${local.here}:model-invocation-job/*"
}

output "services" {
  description = "The keys of the three services."
  value       = ["preprocessor", "scheduler", "collector"]
}

output "reads" {
  description = "Which prefixes of the bucket each service reads, without a slash: service to list."
  value       = local.reads
}

output "writes" {
  description = "Which prefixes of the bucket each service writes or deletes from, without a slash: service to list."
  value       = local.writes
}
