variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "runtime" {
  description = "Where the services run, which decides who assumes their roles: ecs, eks, ec2 (one role for the whole server), or none (`trusted_principal_arns` assume them)."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["ecs", "eks", "ec2", "none"], var.runtime)
    error_message = "runtime must be one of ecs, eks, ec2, none."
  }
}

variable "trust_policies" {
  description = "For runtime eks: the trust policies that module `eks_identity` makes, service to JSON. Empty for any other runtime."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = toset(keys(var.trust_policies)) == toset(var.runtime == "eks" ? ["collector", "preprocessor", "scheduler"] : [])
    error_message = "trust_policies must have the keys preprocessor, scheduler and collector for runtime eks (output trust_policies of module eks_identity), and be empty for any other."
  }
}

variable "trusted_principal_arns" {
  description = "For runtime none: ARNs of the principals that may take the roles. Empty: whoever the account itself lets take them, by policies of its own."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.trusted_principal_arns : can(regex("^arn:[a-z-]+:(iam|sts)::[0-9]{12}:[^*]+$", arn))])
    error_message = "trusted_principal_arns must be ARNs of IAM principals without wildcards, as in \"arn:aws:iam::123456789012:role/deployer\"."
  }
  validation {
    condition     = var.runtime == "none" || length(var.trusted_principal_arns) == 0
    error_message = "trusted_principal_arns are for runtime none: leave them out, or set runtime = \"none\"."
  }
}

variable "bedrock_role_arn" {
  description = "ARN of the role that Bedrock works under: the only one that the scheduler may pass."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[^*]+$", var.bedrock_role_arn))
    error_message = "bedrock_role_arn must be the ARN of one role, as in \"arn:aws:iam::123456789012:role/dev-quarry-bedrock\"."
  }
}

variable "create_arns" {
  description = "ARNs of the models and inference profiles that jobs may be created with: output create_arns of module `models`."
  type        = list(string)

  validation {
    condition     = length(var.create_arns) > 0 && alltrue([for arn in var.create_arns : can(regex("^arn:[a-z-]+:bedrock:[a-z0-9-]*:[0-9]*:[a-z-]+/[^*]+$", arn))])
    error_message = "create_arns must name at least one model, and only ARNs of models and inference profiles without wildcards."
  }
}

variable "application_profile_arns" {
  description = "ARNs of the application inference profiles that manifests may name: the preprocessor looks up the model of each. Empty: none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.application_profile_arns : can(regex("^arn:[a-z-]+:bedrock:[a-z0-9-]+:[0-9]{12}:application-inference-profile/[a-z0-9]+$", arn))])
    error_message = "application_profile_arns must be only ARNs of application inference profiles, without wildcards."
  }
}

variable "on_demand_arns" {
  description = "ARNs of the models and inference profiles that records may be asked of on demand: output create_arns of module `models`. Empty: none, and the scheduler gets neither bedrock:InvokeModel nor anything of S3."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.on_demand_arns : can(regex("^arn:[a-z-]+:bedrock:[a-z0-9-]*:[0-9]*:[a-z-]+/[^*]+$", arn))])
    error_message = "on_demand_arns must be only ARNs of models and inference profiles without wildcards."
  }
}

variable "source_buckets" {
  description = "Names of the buckets, beside the environment's own, whose objects manifests may name as sources. All objects in them can be read."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for name in var.source_buckets : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", name))])
    error_message = "source_buckets must be names of buckets, as in \"research-data\": no s3://, no key, no wildcard."
  }
}

variable "source_kms_key_arns" {
  description = "ARNs of the KMS keys that the source buckets' objects are encrypted with."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.source_kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", arn))])
    error_message = "source_kms_key_arns must be ARNs of keys (not of aliases), as in \"arn:aws:kms:us-east-1:123456789012:key/...\"."
  }
}

variable "read_batch_metrics" {
  description = "Whether the scheduler may read CloudWatch's metrics (QUARRY_READ_BATCH_METRICS). AWS knows no resource and no namespace for it: it may then read all metrics of the account."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key_arn" {
  description = "ARN of the environment's KMS key, or null if bucket, queues and ledger are encrypted with AWS's own keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (not of an alias), as in \"arn:aws:kms:us-east-1:123456789012:key/...\", or null."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary that your account asks of every role, or null."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[^*]+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of a policy, as in \"arn:aws:iam::123456789012:policy/boundary\", or null."
  }
}
