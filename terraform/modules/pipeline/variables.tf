variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type        = object({ env = string, region = string, account_id = string, partition = optional(string, "aws") })
}

# ---------------------------------------------------------------------------- work

variable "models" {
  description = "The models that manifests may name: model ids, ids of system inference profiles, or ARNs of either. Every permission on a model comes from this list."
  type        = list(string)
}

variable "application_profiles" {
  description = "Application inference profiles that manifests may name: ARN of the profile to the ARNs of its foundation models, since the profile's ARN does not tell them."
  type        = map(list(string))
  default     = {}
  nullable    = false
}

variable "job_quota" {
  description = "Jobs that may be active at once for one model in the region: the account's quota, less what others need."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.job_quota >= 1 && var.job_quota <= 500 && floor(var.job_quota) == var.job_quota
    error_message = "job_quota must be a whole number from 1 to 500."
  }
}

variable "job_tags" {
  description = "Tags of every batch job, for the bill (QUARRY_JOB_TAGS): beside those of its manifest, which cannot give these keys other values. A provider's default_tags do not reach jobs, for the scheduler creates them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(var.job_tags) <= 48 && length(distinct([for key in keys(var.job_tags) : lower(key)])) == length(var.job_tags)
    error_message = "job_tags takes at most 48 tags, for a job has 50 and two are Quarry's own; keys that differ in upper and lower case alone are one key."
  }
  validation {
    condition     = alltrue([for key in keys(var.job_tags) : can(regex("^[a-zA-Z0-9 ._:/+@-]{1,128}$", key)) && trimspace(key) == key && !can(regex("^(?i)(aws:|quarry-)", key))])
    error_message = "job_tags has keys of 1 to 128 letters, digits, inner spaces and . _ : / + @ -, which do not begin with aws: or quarry-."
  }
  validation {
    condition     = alltrue([for value in values(var.job_tags) : can(regex("^[a-zA-Z0-9 ._:/=+@-]{0,256}$", value)) && trimspace(value) == value])
    error_message = "job_tags has values of at most 256 letters, digits, inner spaces and . _ : / = + @ -: Bedrock takes no others."
  }
}

variable "on_demand" {
  description = "Whether the services may ask these models on demand, record by record, what is too little for a batch job, at about twice its price. False: the scheduler may not, and such manifests are refused."
  type        = bool
  default     = true
  nullable    = false
}

variable "source_buckets" {
  description = "Names of further buckets whose objects manifests may name as sources; the environment's own is always allowed."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "source_kms_key_arns" {
  description = "ARNs of the KMS keys that the source buckets' objects are encrypted with."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "settings" {
  description = "Further settings of the services, by the names of docs/settings.md, as in { QUARRY_LOG_LEVEL = \"DEBUG\" }; they join the output `environment` and the ECS tasks."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.settings) : can(regex("^(QUARRY_[A-Z][A-Z_]*|MAX_RECORDS_PER_JOB|MAX_TOTAL_RECORDS|HF_ENDPOINT)$", name))])
    error_message = "settings takes the names of docs/settings.md alone: QUARRY_..., MAX_RECORDS_PER_JOB, MAX_TOTAL_RECORDS, HF_ENDPOINT. No secrets: HF_TOKEN comes from ecs.hugging_face_token."
  }
  validation {
    condition     = !contains(keys(var.settings), "QUARRY_WEBHOOK_KEY")
    error_message = "settings must not hold QUARRY_WEBHOOK_KEY, which is a secret: name its secret in ecs.webhook_key, or give it to the collector alone."
  }
  validation {
    condition     = alltrue([for name in keys(var.settings) : !can(regex("^QUARRY_(ENV|REGION|BUCKET|TABLE|BEDROCK_ROLE_ARN|JOB_QUOTA|JOB_TAGS|ON_DEMAND|PROMPT_TEXT_DAYS|.*_(QUEUE|DLQ)_URL)$", name))])
    error_message = "settings must not name what Terraform makes (environment, region, bucket, table, role, queues); for the quota write job_quota, for tags job_tags, for asking on demand on_demand, for the prompts' days prompt_text_days."
  }
}

# ---------------------------------------------------------------------------- where the services run

variable "runtime" {
  description = "Where the services run: ecs (Fargate, made here), eks (a cluster of yours), ec2 (a server of yours with one role) or none (roles that trusted_principal_arns may assume)."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["ecs", "eks", "ec2", "none"], var.runtime)
    error_message = "runtime must be ecs, eks, ec2 or none."
  }
}

variable "trusted_principal_arns" {
  description = "Who may assume the services' roles where runtime is none; by default whoever the account's own policies allow to."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.trusted_principal_arns) == 0 || var.runtime == "none"
    error_message = "trusted_principal_arns goes with runtime = \"none\"; with ecs, eks and ec2 the runtime alone assumes the roles."
  }
}

variable "eks" {
  description = "The cluster that the services run in, where runtime is eks: Pod Identity needs cluster_name, IRSA the OIDC provider."
  type = object({
    mode              = optional(string, "pod_identity") # or irsa
    cluster_name      = optional(string)
    oidc_provider_arn = optional(string)
    oidc_issuer       = optional(string)
    namespace         = optional(string, "quarry")
    service_accounts = optional(map(string), {
      preprocessor = "quarry-preprocessor"
      scheduler    = "quarry-scheduler"
      collector    = "quarry-collector"
      page         = "quarry-page" # counts where there is a page
    })
  })
  default = null

  validation {
    condition     = (var.eks != null) == (var.runtime == "eks")
    error_message = "runtime = \"eks\" needs eks, as in eks = { cluster_name = \"...\" }; no other runtime takes it."
  }
}

variable "ecs" {
  description = "The Fargate services, where runtime is ecs: images by URI (images), or by a tag in the environment's own registry (image_tag); placement only where no network is made."
  type = object({
    images          = optional(map(string)) # preprocessor, scheduler, collector
    image_tag       = optional(string)
    placement       = optional(object({ vpc_id = string, subnet_ids = list(string), security_group_id = string }))
    repository_arns = optional(list(string), []) # of images in ECR repositories of your own
    services = optional(map(object({
      cpu_units        = optional(number) # 1024 are one vCPU
      memory_mib       = optional(number)
      storage_gib      = optional(number)
      tasks_min        = optional(number)
      tasks_max        = optional(number)
      backlog_per_task = optional(number) # messages
    })), {})
    cpu_architecture               = optional(string, "X86_64") # or ARM64
    stop_timeout_s                 = optional(number, 60)
    log_retention_days             = optional(number, 365)
    rollback_on_dead_letters       = optional(bool, true)
    scrape_from_security_group_ids = optional(list(string), []) # of Prometheus
    scrape_from_cidrs              = optional(list(string), [])
    hugging_face_token             = optional(object({ secret_arn = string, kms_key_arn = optional(string) }))
    webhook_key                    = optional(object({ secret_arn = string, kms_key_arn = optional(string) }))
  })
  default = null

  validation {
    condition     = (var.ecs != null) == (var.runtime == "ecs")
    error_message = "runtime = \"ecs\" needs ecs, as in ecs = { image_tag = \"0.2.0\" }; no other runtime takes it."
  }
  validation {
    condition     = var.ecs == null || (try(var.ecs.images, null) == null) != (try(var.ecs.image_tag, null) == null)
    error_message = "ecs needs one of images (URIs of your own registry) and image_tag (with image_registry = true)."
  }
  validation {
    condition     = try(var.ecs.image_tag, null) == null || var.image_registry
    error_message = "ecs.image_tag is a tag of the environment's own registry: set image_registry = true, or give ecs.images."
  }
  validation {
    condition     = var.ecs == null || (try(var.ecs.placement, null) == null) != (var.network == null)
    error_message = "ECS needs one of network (made here) and ecs.placement (a VPC of yours)."
  }
  validation {
    condition     = var.ecs == null || (try(var.ecs.webhook_key, null) != null) == (lookup(var.settings, "QUARRY_WEBHOOK_URL", "") != "")
    error_message = "ecs.webhook_key and settings.QUARRY_WEBHOOK_URL go together: a notice to a webhook is signed."
  }
  validation {
    condition     = try(var.ecs.webhook_key, null) == null || var.network == null || try(var.network.egress, "endpoints") == "nat"
    error_message = "ecs.webhook_key needs a way to the webhook and to Secrets Manager: set network.egress = \"nat\", or give a VPC of yours that has both."
  }
  validation {
    condition     = try(var.ecs.hugging_face_token, null) == null || var.network == null || try(var.network.egress, "endpoints") == "nat"
    error_message = "ecs.hugging_face_token needs a way to the Hugging Face Hub and to Secrets Manager: set network.egress = \"nat\", or give a VPC of yours that has both."
  }
}

variable "page" {
  description = "The page of `quarry ui` as a container (docs/ui.md); null makes nothing for it. `{}` makes its role, `write` lets it control runs. On ECS it runs as a service: token is required, the secret that holds it; image where ecs.image_tag is not used; hosts, target_group_arn and allow_from_... say how it is reached."
  type = object({
    write                         = optional(bool, false)
    token                         = optional(object({ secret_arn = string, kms_key_arn = optional(string) }))
    image                         = optional(string) # of the command
    repository_arn                = optional(string) # of that image, in an ECR repository of your own
    hosts                         = optional(list(string), [])
    dashboard_url                 = optional(string, "")
    target_group_arn              = optional(string)
    allow_from_security_group_ids = optional(list(string), [])
    allow_from_cidrs              = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.page == null || var.runtime != "ec2"
    error_message = "page needs runtime ecs, eks or none: on a server of yours run quarry ui under a role with the operator's policy."
  }
  validation {
    condition     = var.page == null || (var.runtime == "ecs") == (try(var.page.token, null) != null)
    error_message = "page.token goes with runtime ecs, which needs it, as in { secret_arn = \"arn:aws:secretsmanager:...\" }; in a cluster the chart takes it from a Secret."
  }
  validation {
    condition     = var.page == null || var.runtime != "ecs" || (try(var.page.image, null) == null) == (try(var.ecs.image_tag, null) != null)
    error_message = "page needs one of ecs.image_tag, by which the command's image is found in the environment's own registry, and page.image."
  }
}

variable "ecs_autoscaling" {
  description = "How the number of ECS tasks follows the backlog, see module ecs_services; null turns it off, and each service then has tasks_min tasks, at least one."
  type = object({
    idle_minutes         = optional(number, 15)
    scale_out_cooldown_s = optional(number, 60)
    scale_in_cooldown_s  = optional(number, 300)
  })
  default = {}
}

variable "image_registry" {
  description = "Whether to make an ECR repository for each service."
  type        = bool
  default     = false
  nullable    = false
}

variable "network" {
  description = "A VPC to make: its range, its zones, the way out (endpoints to AWS alone, or nat), and the days that its flows are logged (null: they are not). Null makes none."
  type = object({
    cidr               = optional(string, "10.60.0.0/20")
    availability_zones = list(string)
    egress             = optional(string, "endpoints")
    flow_log_days      = optional(number)
  })
  default = null
}

variable "vpc_for_jobs" {
  description = "Subnets and security groups that Bedrock may run jobs' data access in; manifests name the same under vpc. Null allows none."
  type        = object({ subnet_ids = list(string), security_group_ids = list(string) })
  default     = null
}

# ---------------------------------------------------------------------------- keeping and protecting

variable "encryption" {
  description = "What encrypts bucket, table, queues, services' logs and images: s3 (keys that AWS keeps, no cost) or kms (a key of this environment)."
  type        = string
  default     = "s3"
  nullable    = false

  validation {
    condition     = contains(["s3", "kms"], var.encryption)
    error_message = "encryption must be s3 or kms."
  }
}

variable "key_deletion_window_days" {
  description = "Days between the destruction of the KMS key and its final deletion, in which the deletion can be cancelled."
  type        = number
  default     = 30
  nullable    = false
}

variable "strict_prefixes" {
  description = "Whether Bedrock's role only reads batch-input/ and only writes batch-output/. AWS documents read and write on both; whether it works with less is not documented, so try it before you rely on it."
  type        = bool
  default     = false
  nullable    = false
}

variable "permissions_boundary_arn" {
  description = "ARN of the managed policy that bounds every role made here, where your organisation demands one."
  type        = string
  default     = null
}

variable "input_days" {
  description = "Days after which what jobs were fed with expires: batch-input/ and rows/; at least 14."
  type        = number
  default     = 30
  nullable    = false
}

variable "output_days" {
  description = "Days after which a run's workings expire, Bedrock's raw output among them: batch-output/, on-demand/, outcomes/, again/ and plans/; at least 14."
  type        = number
  default     = 30
  nullable    = false
}

variable "results_days" {
  description = "Days after which results/ expires, at least 14; null keeps it until somebody deletes it. What expired is gone `noncurrent_days` later."
  type        = number
  default     = null
}

variable "prompt_text_days" {
  description = "Days that a run's prompt and inference parameters stay in the ledger after its end (QUARRY_PROMPT_TEXT_DAYS)."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.prompt_text_days >= 1 && var.prompt_text_days <= 3650 && floor(var.prompt_text_days) == var.prompt_text_days
    error_message = "prompt_text_days must be a whole number from 1 to 3650."
  }
}

variable "noncurrent_days" {
  description = "Days after which versions of objects expire that were overwritten or deleted; at least 14."
  type        = number
  default     = 30
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether DynamoDB refuses to delete the ledger's table."
  type        = bool
  default     = true
  nullable    = false
}

variable "force_destroy" {
  description = "Whether destroying the bucket deletes all its objects and versions; false lets S3 refuse while there are any."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.force_destroy && var.deletion_protection)
    error_message = "force_destroy empties the bucket of an environment whose table is protected: set deletion_protection = false too, or leave it."
  }
}

# ---------------------------------------------------------------------------- watching

variable "audit_trail" {
  description = "Whether CloudTrail records every read and write of the bucket's objects; it is billed per event."
  type        = bool
  default     = false
  nullable    = false
}

variable "audit_retention_days" {
  description = "Days that CloudTrail's records are kept."
  type        = number
  default     = 365
  nullable    = false
}

variable "log_queries" {
  description = "Whether CloudWatch Logs Insights gets ready queries over the logs of the ECS services (docs/logs.md)."
  type        = bool
  default     = true
  nullable    = false
}

variable "budget_usd" {
  description = "What the runs of one calendar month (UTC) may cost together, in US dollars (QUARRY_BUDGET_USD): nothing is admitted that is likely to pass it; null is no budget."
  type        = number
  default     = null

  validation {
    condition     = var.budget_usd == null || try(var.budget_usd > 0 && var.budget_usd <= 1000000000, false)
    error_message = "budget_usd is in US dollars: more than 0 and at most 1000000000, or null for no budget."
  }
}

variable "read_batch_metrics" {
  description = "Whether the scheduler reads CloudWatch's metrics of all batch jobs of the account, for what others have pending and for a first pace. It may then read all metrics of the account."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.read_batch_metrics || var.network == null || try(var.network.egress, "endpoints") == "nat"
    error_message = "read_batch_metrics needs a way to CloudWatch: set network.egress = \"nat\", or give a VPC of yours that has one."
  }
}

variable "run_ended_topic" {
  description = "Whether there is an SNS topic that hears of every ended run (docs/notices.md). It has no subscriptions."
  type        = bool
  default     = false
  nullable    = false
}

variable "alarms" {
  description = "CloudWatch alarms on dead-letter messages and on the age of the oldest message (seconds), and whom they tell (ARNs, as of an SNS topic); null makes none."
  type = object({
    action_arns          = optional(list(string), [])
    oldest_message_s_max = optional(number, 3600)
  })
  default = null
}
