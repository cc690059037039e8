variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type        = object({ env = string, region = string, account_id = string, partition = optional(string, "aws") })
}

variable "cidr" {
  description = "IPv4 range of the VPC. A quarter of it goes to each private subnet; of the last quarter the NAT's public subnet takes what it needs."
  type        = string
  default     = "10.60.0.0/20"

  validation {
    condition     = can(cidrnetmask(var.cidr)) && can(regex("/(1[6-9]|2[0-4])$", var.cidr))
    error_message = "cidr must be an IPv4 range from /16 to /24, as in \"10.60.0.0/20\": each subnet needs an address for every task."
  }
}

variable "availability_zones" {
  description = "Two or three availability zones of the region; each gets one private subnet."
  type        = list(string)

  validation {
    condition     = length(var.availability_zones) >= 2 && length(var.availability_zones) <= 3 && length(distinct(var.availability_zones)) == length(var.availability_zones)
    error_message = "availability_zones must name two or three different zones, as in [\"us-east-1a\", \"us-east-1b\"]."
  }
  validation {
    condition     = alltrue([for zone in var.availability_zones : startswith(zone, var.place.region)])
    error_message = "availability_zones must be zones of place.region."
  }
}

variable "egress" {
  description = "How the private subnets reach AWS: `nat` (one NAT gateway, also to the internet) or `endpoints` (interface endpoints, AWS's services only)."
  type        = string
  default     = "endpoints"

  validation {
    condition     = contains(["nat", "endpoints"], var.egress)
    error_message = "egress must be \"nat\" or \"endpoints\"."
  }
}

variable "source_buckets" {
  description = "Names of the buckets, besides the environment's own, whose objects manifests may name: the S3 endpoint lets them be read."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for bucket in var.source_buckets : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket))])
    error_message = "source_buckets must be names of buckets, not ARNs or URIs."
  }
}

variable "on_demand" {
  description = "Whether records are asked on demand: with egress `endpoints` that takes one more interface endpoint, bedrock-runtime."
  type        = bool
  default     = true
  nullable    = false
}

variable "secret_arns" {
  description = "ARNs of the secrets of AWS Secrets Manager that tasks are started with: with egress `endpoints` they take one more interface endpoint, secretsmanager, through which nothing but these is read."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "flow_logs" {
  description = "Whether the VPC's flows are logged: null for no, else the days that they are kept and the ARN of the key they are encrypted with (null: CloudWatch's own)."
  type        = object({ retention_days = optional(number, 365), kms_key_arn = optional(string) })
  default     = null

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], try(var.flow_logs.retention_days, 365))
    error_message = "flow_logs.retention_days must be one of the numbers of days that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of the flow logs' role, where the account asks for one."
  type        = string
  default     = null
}
