variable "region" {
  description = "AWS region of the bucket, the queues and the models."
  type        = string
}

variable "account_id" {
  description = "The only account that this root may change, 12 digits: other credentials are refused. Null allows any."
  type        = string
  default     = null
}

variable "models" {
  description = "The models that manifests may name: model ids, ids of system inference profiles, or ARNs of either."
  type        = list(string)
}

variable "job_quota" {
  description = "Jobs that may be active at once for one model in the region: the account's quota, less what others need."
  type        = number
  default     = 20
}

variable "job_tags" {
  description = "Tags of every batch job, for the bill, as in { team = \"search\" }; no manifest can give these keys other values."
  type        = map(string)
  default     = {}
}

variable "on_demand" {
  description = "Whether the services may ask these models on demand, record by record, what is too little for a batch job."
  type        = bool
  default     = true
}

variable "source_buckets" {
  description = "Names of further buckets whose objects manifests may name as sources."
  type        = list(string)
  default     = []
}

variable "results_days" {
  description = "Days after which results expire, at least 14; null keeps them until somebody deletes them."
  type        = number
  default     = null
}

variable "prompt_text_days" {
  description = "Days that a run's prompt stays in the ledger after its end."
  type        = number
  default     = 30
}

variable "page" {
  description = "The page of `quarry ui` as a container, as module `pipeline` takes it, as in { write = true } (its role); null for none."
  type        = any
  default     = null
}
