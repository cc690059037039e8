variable "env" {
  description = "The environment's name, 1 to 8 lower-case letters and digits."
  type        = string
  default     = "minimal"
}

variable "region" {
  description = "AWS region of the bucket, the queues and the models."
  type        = string
  default     = "us-east-1"
}

variable "models" {
  description = "The models that manifests may name: model ids, ids of system inference profiles, or ARNs of either."
  type        = list(string)
  default     = ["anthropic.claude-3-haiku-20240307-v1:0"]
}

variable "trusted_principal_arns" {
  description = "Who may assume the services' roles; empty leaves it to the account's own policies."
  type        = list(string)
  default     = []
}
