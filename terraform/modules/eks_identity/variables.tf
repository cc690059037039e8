variable "place" {
  description = "Where the environment is: every name and ARN is built from it. Module `names` checks it."
  type = object({
    env        = string
    region     = string
    account_id = string
    partition  = optional(string, "aws")
  })
}

variable "mode" {
  description = "How pods get their role: pod_identity (EKS's agent on the nodes) or irsa (the cluster's OpenID Connect provider)."
  type        = string
  default     = "pod_identity"
  nullable    = false

  validation {
    condition     = contains(["pod_identity", "irsa"], var.mode)
    error_message = "mode must be pod_identity or irsa."
  }
}

variable "cluster_name" {
  description = "Name of the EKS cluster, in this account and region. For pod_identity."
  type        = string
  default     = null

  validation {
    condition     = var.mode != "pod_identity" || can(regex("^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$", var.cluster_name))
    error_message = "cluster_name must be the name of the EKS cluster when mode is pod_identity: not its ARN."
  }
}

variable "oidc_provider_arn" {
  description = "ARN of the cluster's IAM OpenID Connect provider. For irsa."
  type        = string
  default     = null

  validation {
    condition     = var.mode != "irsa" || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:oidc-provider/.+$", var.oidc_provider_arn))
    error_message = "oidc_provider_arn must be the ARN of the cluster's OpenID Connect provider when mode is irsa, as in \"arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/...\"."
  }
}

variable "oidc_issuer" {
  description = "The cluster's OpenID Connect issuer, with or without https://. For irsa."
  type        = string
  default     = null

  validation {
    condition     = var.mode != "irsa" || can(regex("^(https://)?[a-z0-9.-]+(/[A-Za-z0-9_/-]+)?$", var.oidc_issuer))
    error_message = "oidc_issuer must be the cluster's issuer when mode is irsa, as in \"https://oidc.eks.us-east-1.amazonaws.com/id/...\"."
  }
}

variable "namespace" {
  description = "Kubernetes namespace of the services."
  type        = string
  default     = "quarry"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace must be the name of one Kubernetes namespace: lower-case letters, digits and inner hyphens."
  }
}

variable "service_accounts" {
  description = "Name of the Kubernetes service account of each service: preprocessor, scheduler and collector to name, and page where there is one."
  type        = map(string)
  nullable    = false

  validation {
    condition     = setunion(keys(var.service_accounts), ["page"]) == toset(["collector", "page", "preprocessor", "scheduler"]) && length(setsubtract(["collector", "preprocessor", "scheduler"], keys(var.service_accounts))) == 0
    error_message = "service_accounts must name one for preprocessor, scheduler and collector, and may name one for page."
  }
  validation {
    condition     = alltrue([for name in values(var.service_accounts) : can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", name))])
    error_message = "service_accounts must be names of Kubernetes service accounts, without wildcards."
  }
  validation {
    condition     = length(distinct(values(var.service_accounts))) == length(var.service_accounts)
    error_message = "service_accounts must differ: pods that share one share its role."
  }
}

variable "role_arns" {
  description = "ARN of each service's role, service to ARN: output role_arns of module `service_roles`, which in turn takes trust_policies from here; for page that of `page_role`."
  type        = map(string)
  nullable    = false

  validation {
    condition     = toset(keys(var.role_arns)) == toset(keys(var.service_accounts))
    error_message = "role_arns must name one role for each of service_accounts."
  }
}
