variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "images" {
  description = "The images that get a repository each: the services preprocessor, scheduler, collector, and the command, cli."
  type        = set(string)
  default     = ["preprocessor", "scheduler", "collector", "cli"]
  nullable    = false

  validation {
    condition     = length(var.images) > 0 && length(setsubtract(var.images, ["preprocessor", "scheduler", "collector", "cli"])) == 0
    error_message = "images must be one or more of preprocessor, scheduler, collector, cli."
  }
}

variable "images_max" {
  description = "How many images a repository keeps; older ones are deleted, even one that is still running somewhere."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.images_max >= 2 && var.images_max <= 1000 && floor(var.images_max) == var.images_max
    error_message = "images_max must be a whole number from 2 (what runs and what it replaced) to 1000."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the images; null encrypts them with keys that ECR owns (AES-256)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias; null for ECR's own."
  }
}
