# How the modules are put together: what each runtime makes, that policies are known before anything stands, and what is
# refused. What a policy says is the affair of each module's own tests.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place   = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  models  = ["anthropic.claude-3-haiku-20240307-v1:0"]
  runtime = "none"
}

run "none_and_its_policies_are_known_before_anything_stands" {
  command = plan

  assert {
    condition     = length(module.ecs_services) == 0 && length(module.eks_identity) == 0 && length(module.network) == 0 && length(module.encryption_key) == 0
    error_message = "A runtime of one's own needs no cluster, network or key."
  }
  assert {
    condition     = length(module.audit_trail) == 0 && length(module.alarms) == 0 && length(module.image_registry) == 0
    error_message = "What costs must be asked for."
  }
  assert {
    condition     = output.kms_key_arn == null && output.network == null && output.ecs == null && output.instance_profile == null && output.repository_urls == {}
    error_message = "What is not made is told as null."
  }
  assert {
    condition     = keys(module.queue) == ["collector", "events", "manifests", "on-demand", "scheduler", "slices"]
    error_message = "There are six queues."
  }
  assert {
    condition = output.role_arns == {
      preprocessor = "arn:aws:iam::123456789012:role/dev-quarry-preprocessor"
      scheduler    = "arn:aws:iam::123456789012:role/dev-quarry-scheduler"
      collector    = "arn:aws:iam::123456789012:role/dev-quarry-collector"
    }
    error_message = "Each service has a role of its own."
  }

  # jsondecode of a policy that is not known yet would end the run with an error.
  assert {
    condition = alltrue([
      for json in concat(
        [module.data_bucket.policy_json, module.bedrock_batch_role.trust_json, module.bedrock_batch_role.access_json, module.operator_policy.policy_json],
        values(module.service_roles.trust_json),
        values(module.service_roles.access_json),
        [for queue in module.queue : queue.policy_json],
      ) : jsondecode(json).Version == "2012-10-17"
    ])
    error_message = "Each of them is a policy."
  }
  assert {
    condition     = strcontains(module.data_bucket.policy_json, "role/dev-quarry-bedrock") && strcontains(module.data_bucket.policy_json, "role/dev-quarry-collector")
    error_message = "The bucket's policy names the roles that come to it."
  }
  assert {
    condition     = strcontains(module.queue["events"].policy_json, "rule/dev-quarry-job-events") && !strcontains(module.queue["slices"].policy_json, "rule/")
    error_message = "The rule may send to the events queue and to no other."
  }
  assert {
    condition     = strcontains(module.service_roles.access_json.scheduler, "foundation-model/anthropic.claude-3-haiku-20240307-v1:0")
    error_message = "The models reach the scheduler's policy."
  }
}

# A profile's models reach the two policies that need them, in every region; a model alone reaches the scheduler's only.
run "a_profile_reaches_both_roles" {
  command = plan
  variables {
    models = ["us.anthropic.claude-3-haiku-20240307-v1:0"]
  }
  assert {
    condition = alltrue([
      for json in [module.service_roles.access_json.scheduler, module.bedrock_batch_role.access_json] :
      strcontains(json, "inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0") && strcontains(json, "bedrock:us-west-2::foundation-model/anthropic.claude-3-haiku-20240307-v1:0")
    ])
    error_message = "Scheduler and Bedrock need the profile, and its model in every region."
  }
}

run "global_profiles_pass_every_check" {
  command = plan
  variables {
    models = ["global.anthropic.claude-sonnet-4-20250514-v1:0"]
  }
  assert {
    condition     = strcontains(module.bedrock_batch_role.access_json, "inference-profile/global.anthropic.claude-sonnet-4-20250514-v1:0")
    error_message = "A global profile is a profile."
  }
}

run "ecs_in_a_network_of_its_own" {
  command = plan
  variables {
    runtime        = "ecs"
    ecs            = { image_tag = "1.2.3" }
    image_registry = true
    network        = { availability_zones = ["us-east-1a", "us-east-1b"] }
  }
  assert {
    condition     = length(module.ecs_services) == 1 && length(module.network) == 1 && keys(output.repository_urls) == ["cli", "collector", "preprocessor", "scheduler"]
    error_message = "Services, network and registry are made."
  }
  assert {
    condition     = alltrue([for json in values(module.service_roles.trust_json) : jsondecode(json).Statement[0].Principal.Service == "ecs-tasks.amazonaws.com"])
    error_message = "ECS tasks alone assume the roles."
  }
  assert {
    condition     = strcontains(module.ecs_services[0].execution_access_json, "repository/dev-quarry-scheduler")
    error_message = "ECS pulls from the environment's own registry."
  }
}

run "ecs_in_a_vpc_that_stands" {
  command = plan
  variables {
    runtime = "ecs"
    ecs = {
      images = {
        preprocessor = "example.com/quarry-preprocessor:1.2.3"
        scheduler    = "example.com/quarry-scheduler:1.2.3"
        collector    = "example.com/quarry-collector:1.2.3"
      }
      placement = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"], security_group_id = "sg-1" }
    }
    ecs_autoscaling = null
  }
  assert {
    condition     = length(module.ecs_services) == 1 && length(module.network) == 0 && output.network == null
    error_message = "A VPC that is given is used, and none is made."
  }
}

run "eks" {
  command = plan
  variables {
    runtime = "eks"
    eks     = { cluster_name = "blue" }
  }
  assert {
    condition     = alltrue([for json in values(module.service_roles.trust_json) : jsondecode(json).Statement[0].Principal.Service == "pods.eks.amazonaws.com"])
    error_message = "Pods alone assume the roles."
  }
  assert {
    condition     = strcontains(module.service_roles.trust_json.collector, "quarry-collector")
    error_message = "Each role trusts the chart's service account of its service."
  }
}

run "eks_with_irsa" {
  command = plan
  variables {
    runtime = "eks"
    eks = {
      mode              = "irsa"
      oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/ABC"
      oidc_issuer       = "https://oidc.eks.us-east-1.amazonaws.com/id/ABC"
    }
  }
  assert {
    condition     = alltrue([for json in values(module.service_roles.trust_json) : jsondecode(json).Statement[0].Action == "sts:AssumeRoleWithWebIdentity"])
    error_message = "With IRSA the roles are assumed by web identity."
  }
}

run "ec2" {
  command = plan
  variables {
    runtime = "ec2"
  }
  assert {
    condition     = toset(values(output.role_arns)) == toset(["arn:aws:iam::123456789012:role/dev-quarry-server"]) && output.instance_profile != null
    error_message = "A server has one role for the three services, and a profile that carries it."
  }
}

# The key's ARN is known only when it is made; here it is given.
run "a_key_reaches_everything_that_is_encrypted" {
  command = plan
  variables {
    encryption     = "kms"
    image_registry = true
  }
  override_resource {
    target          = module.encryption_key[0].aws_kms_key.this
    override_during = plan
    values = {
      key_id = "11111111-2222-3333-4444-555555555555"
      arn    = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    }
  }
  assert {
    condition     = output.kms_key_arn == "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    error_message = "The key's ARN is the key's own."
  }
  assert {
    condition = alltrue([
      for json in concat([module.data_bucket.policy_json, module.bedrock_batch_role.access_json, module.operator_policy.policy_json], values(module.service_roles.access_json)) :
      strcontains(json, "key/11111111-2222-3333-4444-555555555555")
    ])
    error_message = "Bucket policy, Bedrock's role, the services' roles and the operators' policy name the key."
  }
}

# The same without its ARN: a first plan must come through with a key that is not made yet.
run "a_first_plan_with_a_key" {
  command = plan
  variables {
    encryption     = "kms"
    runtime        = "ecs"
    ecs            = { image_tag = "1.2.3" }
    image_registry = true
    network        = { availability_zones = ["us-east-1a", "us-east-1b"], egress = "nat", flow_log_days = 30 }
    audit_trail    = true
    alarms         = {}
    vpc_for_jobs   = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }
  assert {
    condition     = length(module.encryption_key) == 1 && length(module.audit_trail) == 1 && length(module.alarms) == 1
    error_message = "Key, trail and alarms are made."
  }
}

# ---------------------------------------------------------------------------- what is refused

run "what_is_wrong_by_itself" {
  command = plan
  variables {
    runtime          = "lambda"
    job_quota        = 0
    encryption       = "none"
    settings         = { QUARRY_BUCKET = "other" }
    prompt_text_days = 0
    budget_usd       = 0
    job_tags         = { "quarry-env" = "other" }
    force_destroy    = true
  }
  expect_failures = [var.runtime, var.job_quota, var.encryption, var.settings, var.prompt_text_days, var.budget_usd, var.job_tags, var.force_destroy]
}

run "eks_without_a_cluster" {
  command = plan
  variables {
    runtime = "eks"
  }
  expect_failures = [var.eks]
}

run "ecs_settings_for_another_runtime" {
  command = plan
  variables {
    ecs            = { image_tag = "1.2.3" }
    image_registry = true
    network        = { availability_zones = ["us-east-1a", "us-east-1b"] }
  }
  expect_failures = [var.ecs]
}

run "a_token_of_the_hub_without_a_way_to_it" {
  command = plan
  variables {
    runtime        = "ecs"
    image_registry = true
    network        = { availability_zones = ["us-east-1a", "us-east-1b"] }
    ecs = {
      image_tag          = "1.2.3"
      hugging_face_token = { secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-AbCdEf" }
    }
  }
  expect_failures = [var.ecs]
}

run "a_secret_among_the_settings" {
  command = plan
  variables {
    settings = { HF_ENDPOINT = "https://hub.example.com", HF_TOKEN = "hf_x" }
  }
  expect_failures = [var.settings]
}

run "ecs_without_images" {
  command = plan
  variables {
    runtime = "ecs"
    ecs     = {}
    network = { availability_zones = ["us-east-1a", "us-east-1b"] }
  }
  expect_failures = [var.ecs]
}

run "a_tag_without_the_registry" {
  command = plan
  variables {
    runtime = "ecs"
    ecs     = { image_tag = "1.2.3" }
    network = { availability_zones = ["us-east-1a", "us-east-1b"] }
  }
  expect_failures = [var.ecs]
}

run "ecs_without_a_place" {
  command = plan
  variables {
    runtime        = "ecs"
    ecs            = { image_tag = "1.2.3" }
    image_registry = true
  }
  expect_failures = [var.ecs]
}

run "trusted_principals_beside_a_runtime" {
  command = plan
  variables {
    runtime                = "ec2"
    trusted_principal_arns = ["arn:aws:iam::123456789012:role/me"]
  }
  expect_failures = [var.trusted_principal_arns]
}

run "a_setting_that_is_not_quarrys" {
  command = plan
  variables {
    settings = { AWS_ACCESS_KEY_ID = "x" }
  }
  expect_failures = [var.settings]
}

# ---------------------------------------------------------------------------- the page

run "no_page_unless_it_is_asked_for" {
  command = plan
  variables {
    runtime        = "ecs"
    ecs            = { image_tag = "1.2.3" }
    image_registry = true
    network        = { availability_zones = ["us-east-1a", "us-east-1b"] }
  }
  assert {
    condition     = length(module.page_role) == 0 && length(module.page_service) == 0 && output.page == null && !contains(keys(output.role_arns), "page")
    error_message = "Nothing is made for a page that nobody asked for."
  }
}

run "a_page_on_ecs" {
  command = plan
  variables {
    runtime        = "ecs"
    ecs            = { image_tag = "1.2.3" }
    image_registry = true
    network        = { availability_zones = ["us-east-1a", "us-east-1b"], egress = "nat" }
    page           = { token = { secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dev-quarry-page-AbCdEf" } }
  }
  assert {
    condition     = output.page.service_name == "dev-quarry-page" && output.role_arns.page == "arn:aws:iam::123456789012:role/dev-quarry-page"
    error_message = "The page is a service with a role of its own."
  }
  assert {
    condition     = strcontains(module.page_service[0].execution_access_json, "repository/dev-quarry-cli") && !strcontains(module.ecs_services[0].execution_access_json, "dev-quarry-page")
    error_message = "It runs from the command's image, and the services' execution role has nothing of it."
  }
  assert {
    condition     = !strcontains(module.page_role[0].access_json, "dynamodb:PutItem")
    error_message = "By default it only reads."
  }
}

run "a_page_in_a_cluster" {
  command = plan
  variables {
    runtime = "eks"
    eks     = { cluster_name = "blue" }
    page    = { write = true }
  }
  assert {
    condition     = strcontains(module.page_role[0].trust_json, "quarry-page") && toset(keys(module.service_roles.trust_json)) == toset(["collector", "preprocessor", "scheduler"])
    error_message = "The account quarry-page takes the page's role, and no service's."
  }
  assert {
    condition     = output.helm_values.roleArns.page == "arn:aws:iam::123456789012:role/dev-quarry-page" && strcontains(module.page_role[0].access_json, "dynamodb:PutItem")
    error_message = "The chart hears of the role, which may write."
  }
  assert {
    condition     = length(module.page_service) == 0
    error_message = "In a cluster the chart runs it."
  }
}

run "a_page_on_ecs_without_a_token" {
  command = plan
  variables {
    runtime        = "ecs"
    ecs            = { image_tag = "1.2.3" }
    image_registry = true
    network        = { availability_zones = ["us-east-1a", "us-east-1b"], egress = "nat" }
    page           = {}
  }
  expect_failures = [var.page]
}

run "without_a_way_out_the_page_has_one_to_its_token" {
  command = plan
  variables {
    runtime        = "ecs"
    ecs            = { image_tag = "1.2.3" }
    image_registry = true
    network        = { availability_zones = ["us-east-1a", "us-east-1b"] }
    page           = { token = { secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dev-quarry-page-AbCdEf" } }
  }
  assert {
    condition     = length(module.page_service) == 1 && contains(module.network[0].interface_endpoints, "secretsmanager")
    error_message = "The network has an endpoint for the token."
  }
}

run "a_page_on_a_server" {
  command = plan
  variables {
    runtime = "ec2"
    page    = {}
  }
  expect_failures = [var.page]
}
