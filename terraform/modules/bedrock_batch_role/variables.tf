variable "place" {
  description = "Where the environment is: every name and ARN is built from it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "invoke_arns" {
  description = "ARNs of the inference profiles and of their foundation models (module `models`); empty where no profile is used."
  type        = list(string)
  default     = []

  validation {
    condition = alltrue([
      for arn in var.invoke_arns :
      can(regex("^arn:[a-z-]+:bedrock:[a-z0-9-]*:[0-9]*:(foundation-model|inference-profile|application-inference-profile)/[^*?]+$", arn))
    ])
    error_message = "invoke_arns must be whole ARNs of inference profiles and foundation models, without patterns: take output invoke_arns of module models."
  }
}

variable "strict_prefixes" {
  description = "Whether to grant less than AWS documents: reading on batch-input/ alone and writing on batch-output/ alone."
  type        = bool
  default     = false
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that the bucket is encrypted with; null where it is encrypted with S3's own keys."
  type        = string
  default     = null
}

variable "vpc" {
  description = "Subnets and security groups that jobs run in (`vpcConfig` of a job); null where jobs use none."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null

  validation {
    condition     = var.vpc == null ? true : length(var.vpc.subnet_ids) > 0 && length(var.vpc.security_group_ids) > 0
    error_message = "vpc needs at least one subnet id and one security group id, or must be null."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of the policy that bounds the role; null for none."
  type        = string
  default     = null
}
