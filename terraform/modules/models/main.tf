# From the ids of models to the ARNs that IAM compares. Whoever asks for a profile needs the profile and the foundation
# model in every region where it may be answered: one that is left out is an AccessDenied that comes and goes.

locals {
  geographies = jsondecode(file("${path.module}/inference_profile_regions.json")).geographies
  here        = "arn:${var.place.partition}:bedrock:${var.place.region}"
  own_model   = "${local.here}::foundation-model/"
  own_profile = "${local.here}:${var.place.account_id}:inference-profile/"

  # Each as it was written, to its id without an ARN around it and to its geography, "" for a model named directly. A model's
  # own id may hold two dots (`deepseek.v3.2`), so geographies are recognized by name.
  names = { for model in var.models : model => trimprefix(trimprefix(model, local.own_model), local.own_profile) }
  geography = {
    for model, name in local.names : model => join("", [
      for word in keys(local.geographies) : word if can(regex("^${word}\\.[^.]+\\..+$", name))
    ])
  }
  callable = sort([
    for word, geography in local.geographies : word if can(regex("^(${geography.called_from})$", var.place.region))
  ])

  # What is wrong with each, or "". Provider names have three letters or more: two letters are an unknown geography.
  problems = compact([
    for model, name in local.names : (
      strcontains(model, ":application-inference-profile/") ?
      "${model}: the ARN of an application profile does not tell its model; write it in application_profiles with the ARNs of its foundation models." :
      startswith(name, "arn:") ?
      "${model}: not a model or an inference profile of ${var.place.region} and account ${var.place.account_id}; write ${local.own_model}<id>, ${local.own_profile}<id>, or the id alone." :
      !can(regex("^[a-z0-9][a-z0-9-]*\\.[a-z0-9][a-z0-9.:-]*[a-z0-9]$", name)) ?
      "${model}: not the id of a model; write one as in anthropic.claude-3-haiku-20240307-v1:0, or of an inference profile as in us.anthropic.claude-3-haiku-20240307-v1:0." :
      local.geography[model] == "" && can(regex("^[a-z]{2}\\.", name)) ?
      "${model}: an inference profile of a geography whose regions are not known; write one of ${join(", ", [for word in local.callable : "${word}.<model>"])}, or make an application profile of it and write that in application_profiles." :
      local.geography[model] == "" && startswith(model, local.own_profile) ?
      "${model}: not one of AWS's own inference profiles; write its id with a geography, as in ${local.callable[0]}.${name}." :
      local.geography[model] != "" && startswith(model, local.own_model) ?
      "${model}: the id of an inference profile in the ARN of a model; write ${name} alone." :
      local.geography[model] != "" && !contains(local.callable, local.geography[model]) ?
      "${model}: an inference profile that cannot be called from ${var.place.region}; write ${join(" or ", [for word in local.callable : "${word}.${trimprefix(name, "${local.geography[model]}.")}"])}." : ""
    )
  ])

  profiles = [for model, name in local.names : "${local.own_profile}${name}" if local.geography[model] != ""]
  of_profiles = flatten([
    for model, name in local.names : [
      for region in distinct(concat([var.place.region], local.geographies[local.geography[model]].regions)) :
      "arn:${var.place.partition}:bedrock:${region}::foundation-model/${trimprefix(name, "${local.geography[model]}.")}"
    ] if local.geography[model] != ""
  ])
  direct = [for model, name in local.names : "${local.own_model}${name}" if local.geography[model] == ""]

  profile_arns          = sort(concat(local.profiles, keys(var.application_profiles)))
  invoke_arns           = sort(distinct(concat(local.profile_arns, local.of_profiles, flatten(values(var.application_profiles)))))
  foundation_model_arns = sort(distinct(concat(local.direct, local.of_profiles, flatten(values(var.application_profiles)))))
}
