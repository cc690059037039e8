variable "env" {
  description = "The environment's name, 1 to 8 lower-case letters and digits."
  type        = string
  default     = "ecs"
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

variable "image_tag" {
  description = "Tag of the services' images in the environment's own registry, as pushed."
  type        = string
  default     = "0.2.0"
}

variable "page_token_secret_arn" {
  description = "ARN of the secret that holds the page's token (docs/ui.md); null runs no page."
  type        = string
  default     = null
}

variable "availability_zones" {
  description = "Two or three availability zones of the region."
  type        = list(string)
  default     = ["us-east-1a", "us-east-1b"]
}

variable "alarm_mail_addresses" {
  description = "Who gets the alarms by mail; each address has to confirm once."
  type        = set(string)
  default     = []
}
