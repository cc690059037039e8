variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type        = object({ env = string, region = string, account_id = string, partition = optional(string, "aws") })
}

variable "cluster_arn" {
  description = "ARN of the ECS cluster (`ecs_services`' output)."
  type        = string
}

variable "namespace_id" {
  description = "Id of the Cloud Map namespace in which the page is found as `page` (`ecs_services`' output)."
  type        = string
}

variable "vpc_id" {
  description = "Id of the VPC of the subnets."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of the subnets that the task starts in; private ones, from which AWS's services and Secrets Manager are reached."
  type        = list(string)
}

variable "security_group_id" {
  description = "Id of the security group of the services, which has the way out. The page gets a group of its own besides, with the way in."
  type        = string
}

variable "role_arn" {
  description = "ARN of the page's role (`page_role`' output)."
  type        = string
}

variable "write" {
  description = "Whether the page is started with --write. Its role must be made with write too."
  type        = bool
  default     = false
  nullable    = false
}

variable "image" {
  description = "The command's image (quarry-cli), with a digest or a tag that is never moved."
  type        = string

  validation {
    condition     = can(regex("(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image must end in a digest (@sha256:...) or in a tag other than latest."
  }
}

variable "repository_arn" {
  description = "ARN of the ECR repository of the image; null where it comes from a public registry."
  type        = string
  default     = null
}

variable "environment" {
  description = "The container's variables (QUARRY_...), those of the services. No secrets: they are readable in the task definition."
  type        = map(string)

  validation {
    condition     = length(setintersection(["QUARRY_UI_TOKEN", "QUARRY_UI_ALLOW_HOSTS", "QUARRY_UI_DASHBOARD_URL"], keys(var.environment))) == 0
    error_message = "environment must not set QUARRY_UI_...: write token, hosts and dashboard_url."
  }
}

variable "token" {
  description = "The page's token, from a secret of AWS Secrets Manager that holds it as plain text of at least 32 characters: its ARN, and that of its KMS key if it is not AWS's own."
  type        = object({ secret_arn = string, kms_key_arn = optional(string) })

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$", var.token.secret_arn))
    error_message = "token.secret_arn must be the whole ARN of one secret (arn:aws:secretsmanager:<region>:<account>:secret:<name>-<6 characters>)."
  }
  validation {
    condition     = var.token.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.token.kms_key_arn))
    error_message = "token.kms_key_arn must be the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>)."
  }
}

variable "hosts" {
  description = "Names under which readers reach the page, as that of a load balancer's certificate. Empty: localhost alone, by a forwarded port."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for host in var.hosts : can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$", host))])
    error_message = "hosts must be host names, or host names with a port, in lower case: no https://, no path."
  }
}

variable "dashboard_url" {
  description = "A dashboard that the page of a run leads to; `{run_id}` in it becomes the run's id. Empty: none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(https?://\\S+)?$", var.dashboard_url))
    error_message = "dashboard_url must begin with https:// or http://."
  }
}

variable "target_group_arn" {
  description = "ARN of a target group (of IP addresses, HTTP, port 8080, health at /healthz) of a load balancer of yours, which has an HTTPS listener; null for none."
  type        = string
  default     = null
}

variable "allow_from_security_group_ids" {
  description = "Ids of the security groups that may reach the page on port 8080: of the load balancer, or of the host that forwards the port."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "allow_from_cidrs" {
  description = "IPv4 ranges that may reach the page on port 8080."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.allow_from_cidrs : can(cidrnetmask(cidr)) && try(tonumber(split("/", cidr)[1]), 0) >= 8])
    error_message = "allow_from_cidrs must be IPv4 ranges of /8 or smaller, as in \"10.20.0.0/16\": prompts and answers are not for the world."
  }
}

variable "cpu_architecture" {
  description = "The architecture of the image: X86_64 or ARM64."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture must be \"X86_64\" or \"ARM64\"."
  }
}

variable "log_retention_days" {
  description = "Days that the page's log is kept. It holds no prompts, no answers and no token."
  type        = number
  default     = 365
}

variable "kms_key_arn" {
  description = "ARN of the key that the log group is encrypted with; null for CloudWatch's own. The key's policy must let CloudWatch Logs use it for this group."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of the execution role, where the account asks for one."
  type        = string
  default     = null
}
