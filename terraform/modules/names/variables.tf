variable "place" {
  description = "Where the environment is: every name and ARN is built from it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })

  validation {
    condition     = can(regex("^[a-z0-9]{1,8}$", var.place.env))
    error_message = "place.env must be 1 to 8 lower-case letters and digits, as in \"dev\": it ends the name of every Bedrock job."
  }
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$", var.place.region))
    error_message = "place.region must be the id of an AWS region, as in \"us-east-1\"."
  }
  validation {
    condition     = can(regex("^[0-9]{12}$", var.place.account_id))
    error_message = "place.account_id must be the 12 digits of an AWS account, in quotes, as in \"123456789012\"."
  }
  validation {
    condition = var.place.partition == (
      startswith(var.place.region, "us-gov-") ? "aws-us-gov" : startswith(var.place.region, "cn-") ? "aws-cn" : "aws"
    )
    error_message = "place.partition must be the region's own: \"aws-us-gov\" for us-gov-*, \"aws-cn\" for cn-*, else \"aws\"."
  }
}
