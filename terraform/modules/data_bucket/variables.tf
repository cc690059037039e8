variable "place" {
  description = "Where the environment is: every name and ARN is built from it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that objects are encrypted with; null for S3's own keys (SSE-S3)."
  type        = string
  default     = null
}

variable "bedrock_role_arn" {
  description = "ARN of the role that Bedrock runs batch jobs under."
  type        = string
  nullable    = false
}

variable "service_role_arns" {
  description = "ARN of the role of each service, by service; one role may stand for several. Empty where the services have no roles here."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.service_role_arns), ["preprocessor", "scheduler", "collector"])) == 0
    error_message = "The keys of service_role_arns must be services: preprocessor, scheduler, collector."
  }
}

variable "strict_prefixes" {
  description = "Whether Bedrock's role is limited to reading batch-input/ and writing batch-output/; otherwise to both on both, as AWS documents."
  type        = bool
  default     = false
  nullable    = false
}

variable "input_days" {
  description = "Days after which what jobs were fed with expires: batch-input/ and rows/. It must be longer than the longest run."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.input_days >= 14 && floor(var.input_days) == var.input_days
    error_message = "input_days must be a whole number of at least 14: a job may take 7 days and be repeated, and a run needs its rows to the end."
  }
}

variable "output_days" {
  description = "Days after which a run's workings expire: batch-output/, on-demand/, outcomes/, again/ and plans/. It must be longer than the longest run."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.output_days >= 14 && floor(var.output_days) == var.output_days
    error_message = "output_days must be a whole number of at least 14: a job may take 7 days and be repeated, and a run needs its plan to the end."
  }
}

variable "results_days" {
  description = "Days after which what users fetch expires: results/. Null keeps it until somebody deletes it. It must be longer than the longest run, whose first parts wait for the last."
  type        = number
  default     = null

  validation {
    condition     = try(var.results_days >= 14 && floor(var.results_days) == var.results_days, var.results_days == null)
    error_message = "results_days must be null or a whole number of at least 14: a run's first parts wait for its last."
  }
}

variable "noncurrent_days" {
  description = "Days after which versions expire that were overwritten or deleted. It must be longer than the longest run, which reads its sources by version."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.noncurrent_days >= 14 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "noncurrent_days must be a whole number of at least 14: a run reads its sources by version, also when they were overwritten."
  }
}

variable "force_destroy" {
  description = "Whether destroying the bucket deletes what is in it, results too; otherwise S3 refuses to delete a bucket that is not empty."
  type        = bool
  default     = false
  nullable    = false
}
