variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type        = object({ env = string, region = string, account_id = string, partition = optional(string, "aws") })
}

variable "vpc_id" {
  description = "Id of the VPC of the subnets, in which the names of the tasks are known."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of the subnets that tasks start in; private ones, since tasks get no public address. They must reach AWS's services by a NAT or by endpoints."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 1
    error_message = "subnet_ids must name at least one subnet; two in different zones let work go on when one zone fails."
  }
}

variable "security_group_id" {
  description = "Id of the security group of the tasks. It needs TLS out, and nothing in: the rule for scraping is created here."
  type        = string
}

variable "scrape_from_security_group_ids" {
  description = "Ids of the security groups that may read the tasks' metrics on port 9090: those of Prometheus."
  type        = list(string)
  default     = []
}

variable "scrape_from_cidrs" {
  description = "IPv4 ranges that may read the tasks' metrics on port 9090, for a Prometheus outside the VPC."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.scrape_from_cidrs : can(cidrnetmask(cidr)) && try(tonumber(split("/", cidr)[1]), 0) >= 8])
    error_message = "scrape_from_cidrs must be IPv4 ranges of /8 or smaller, as in \"10.20.0.0/16\": metrics are not for the world."
  }
}

variable "role_arns" {
  description = "The services' own roles: service to ARN (`service_roles`' output)."
  type        = map(string)

  validation {
    condition     = length(setsubtract(["preprocessor", "scheduler", "collector"], keys(var.role_arns))) == 0
    error_message = "role_arns must have the keys preprocessor, scheduler and collector."
  }
}

variable "images" {
  description = "The services' images: service to reference, with a digest or a tag that is never moved. Each must run as any user and declare `VOLUME /tmp`."
  type        = map(string)

  validation {
    condition     = toset(keys(var.images)) == toset(["preprocessor", "scheduler", "collector"])
    error_message = "images must have the keys preprocessor, scheduler and collector, and no others."
  }
  validation {
    condition     = alltrue([for image in values(var.images) : can(regex("(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})$", image)) && !endswith(image, ":latest")])
    error_message = "images must end in a digest (@sha256:...) or in a tag other than latest: a deployment that fails is rolled back to the image it was."
  }
}

variable "repository_arns" {
  description = "ARNs of the ECR repositories of the images, which tasks may be started from; none where images come from a public registry."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.repository_arns : can(regex("^arn:aws[a-z-]*:ecr:[a-z0-9-]+:[0-9]{12}:repository/[a-z0-9][a-z0-9._/-]*$", arn))])
    error_message = "repository_arns must be ARNs of ECR repositories (arn:aws:ecr:<region>:<account>:repository/<name>), without a wildcard."
  }
}

variable "environment" {
  description = "The containers' variables (QUARRY_...), the same for the three services. No secrets: they are readable in the task definitions."
  type        = map(string)

  validation {
    condition     = length(setintersection(["QUARRY_METRICS_HOST", "QUARRY_METRICS_PORT"], keys(var.environment))) == 0
    error_message = "environment must not set QUARRY_METRICS_HOST or QUARRY_METRICS_PORT: health checks and scrapes ask at port 9090."
  }
}

variable "hugging_face_token" {
  description = "An access token of the Hugging Face Hub for the preprocessor, from a secret of AWS Secrets Manager that holds it as plain text: its ARN, and that of its KMS key if it is not AWS's own; null for none."
  type        = object({ secret_arn = string, kms_key_arn = optional(string) })
  default     = null

  validation {
    condition     = var.hugging_face_token == null || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$", var.hugging_face_token.secret_arn))
    error_message = "hugging_face_token.secret_arn must be the whole ARN of one secret (arn:aws:secretsmanager:<region>:<account>:secret:<name>-<6 characters>)."
  }
  validation {
    condition     = try(var.hugging_face_token.kms_key_arn, null) == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.hugging_face_token.kms_key_arn))
    error_message = "hugging_face_token.kms_key_arn must be the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>)."
  }
}

variable "webhook_key" {
  description = "The key with which the collector signs notices to a webhook (QUARRY_WEBHOOK_KEY), from a secret of AWS Secrets Manager that holds it as plain text: its ARN, and that of its KMS key if it is not AWS's own; null for none."
  type        = object({ secret_arn = string, kms_key_arn = optional(string) })
  default     = null

  validation {
    condition     = var.webhook_key == null || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$", var.webhook_key.secret_arn))
    error_message = "webhook_key.secret_arn must be the whole ARN of one secret (arn:aws:secretsmanager:<region>:<account>:secret:<name>-<6 characters>)."
  }
  validation {
    condition     = try(var.webhook_key.kms_key_arn, null) == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.webhook_key.kms_key_arn))
    error_message = "webhook_key.kms_key_arn must be the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>)."
  }
}

variable "services" {
  description = "Overrides of the defaults, by service: `cpu_units` (1024 are one vCPU), `memory_mib`, `storage_gib` (the task's disk, /tmp included), `tasks_min` and `tasks_max`, `backlog_per_task` (target number of messages, waiting or in progress, per task)."
  type = map(object({
    cpu_units        = optional(number)
    memory_mib       = optional(number)
    storage_gib      = optional(number)
    tasks_min        = optional(number)
    tasks_max        = optional(number)
    backlog_per_task = optional(number)
  }))
  default = {}

  validation {
    condition     = length(setsubtract(keys(var.services), ["preprocessor", "scheduler", "collector"])) == 0
    error_message = "services may have the keys preprocessor, scheduler and collector only."
  }
}

variable "autoscaling" {
  description = "How the number of tasks follows the backlog; null turns it off, and each service then has `tasks_min` tasks, at least one. `idle_minutes`: its queues must have been empty this long before a service with `tasks_min = 0` goes to zero. The cooldowns are in seconds."
  type = object({
    idle_minutes         = optional(number, 15)
    scale_out_cooldown_s = optional(number, 60)
    scale_in_cooldown_s  = optional(number, 300)
  })
  default = {}

  validation {
    condition     = try(var.autoscaling.idle_minutes, 15) >= 5 && try(var.autoscaling.idle_minutes, 15) <= 1440 && floor(try(var.autoscaling.idle_minutes, 15)) == try(var.autoscaling.idle_minutes, 15)
    error_message = "autoscaling.idle_minutes must be a whole number from 5 to 1440 (a day, the longest that an alarm looks back)."
  }
  validation {
    condition     = alltrue([for wait in [try(var.autoscaling.scale_out_cooldown_s, 60), try(var.autoscaling.scale_in_cooldown_s, 300)] : wait >= 0 && wait <= 3600])
    error_message = "autoscaling.scale_out_cooldown_s and scale_in_cooldown_s must be from 0 to 3600 seconds."
  }
}

variable "rollback_on_dead_letters" {
  description = "Whether a deployment under which messages are dead-lettered is rolled back: one alarm per service. Dead-letter messages of the manifests' queue do not count, since any user can send a wrong manifest."
  type        = bool
  default     = true
  nullable    = false
}

variable "log_queries" {
  description = "Whether CloudWatch Logs Insights gets ready queries over the services' logs (docs/logs.md). They cost nothing."
  type        = bool
  default     = true
  nullable    = false
}

variable "cpu_architecture" {
  description = "The architecture of the images: X86_64 or ARM64."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture must be \"X86_64\" or \"ARM64\"."
  }
}

variable "stop_timeout_s" {
  description = "Seconds between the request to stop and the kill. It must be longer than QUARRY_DRAIN_S (25 where `environment` does not set it), in which work in progress is finished or returned to the queue."
  type        = number
  default     = 60

  validation {
    condition     = var.stop_timeout_s <= 120 && floor(var.stop_timeout_s) == var.stop_timeout_s
    error_message = "stop_timeout_s must be a whole number of at most 120 seconds: Fargate waits no longer."
  }
  validation {
    condition     = var.stop_timeout_s >= tonumber(lookup(var.environment, "QUARRY_DRAIN_S", "25")) + 10
    error_message = "stop_timeout_s must be at least 10 seconds longer than QUARRY_DRAIN_S, or a drain ends in a kill. Lower QUARRY_DRAIN_S or raise stop_timeout_s."
  }
}

variable "log_retention_days" {
  description = "Days that the services' logs are kept. They hold no prompts and no answers."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of the numbers of days that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "kms_key_arn" {
  description = "ARN of the key that the log groups are encrypted with; null for CloudWatch's own. The key's policy must let CloudWatch Logs use it for these groups."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of the execution role, where the account asks for one."
  type        = string
  default     = null
}
