variable "place" {
  description = "Where the environment is: every name and ARN is built from it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "models" {
  description = "The models that jobs may ask for: model ids, ids of AWS's own inference profiles, or ARNs of either."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.models) + length(var.application_profiles) > 0
    error_message = "Name at least one model in models, as in [\"anthropic.claude-3-haiku-20240307-v1:0\"], or one profile in application_profiles."
  }
  validation {
    condition     = length(distinct(var.models)) == length(var.models)
    error_message = "A model stands twice in models: write it once."
  }
}

variable "application_profiles" {
  description = "The application inference profiles that jobs may ask for: ARN of each to the ARNs of the foundation models that it routes to (`aws bedrock get-inference-profile` lists them), since its ARN does not name its model."
  type        = map(list(string))
  default     = {}

  validation {
    condition = alltrue([
      for arn in keys(var.application_profiles) : can(regex(
        "^arn:${var.place.partition}:bedrock:${var.place.region}:${var.place.account_id}:application-inference-profile/[a-z0-9]+$", arn
      ))
    ])
    error_message = "A key of application_profiles must be the ARN of an application inference profile of this region and account: arn:${var.place.partition}:bedrock:${var.place.region}:${var.place.account_id}:application-inference-profile/<id>."
  }
  validation {
    condition = alltrue([
      for arns in values(var.application_profiles) : length(arns) > 0 && alltrue([
        for arn in arns : can(regex("^arn:${var.place.partition}:bedrock:[a-z0-9-]*::foundation-model/[a-z0-9][a-z0-9.:-]*$", arn))
      ])
    ])
    error_message = "Each application profile needs the ARNs of its foundation models, as in [\"arn:${var.place.partition}:bedrock:${var.place.region}::foundation-model/anthropic.claude-3-haiku-20240307-v1:0\"]: `aws bedrock get-inference-profile` lists them."
  }
}
