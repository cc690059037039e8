# A role's own policy and the bucket's must say the same: what one allows and the other denies fails where it is used, and
# what neither names is room that nobody asked for.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place            = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  bedrock_role_arn = "arn:aws:iam::123456789012:role/dev-quarry-bedrock"
}

run "the_services_roles" {
  command = plan
  module { source = "../service_roles" }
  variables {
    runtime        = "ecs"
    create_arns    = ["arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"]
    on_demand_arns = ["arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"]
  }
}

run "bedrocks_role" {
  command = plan
  module { source = "../bedrock_batch_role" }
}

run "bedrocks_strict_role" {
  command = plan
  module { source = "../bedrock_batch_role" }
  variables { strict_prefixes = true }
}

run "services_read_and_write_what_they_may" {
  command = plan
  variables {
    service_role_arns = {
      preprocessor = "arn:aws:iam::123456789012:role/dev-quarry-preprocessor"
      scheduler    = "arn:aws:iam::123456789012:role/dev-quarry-scheduler"
      collector    = "arn:aws:iam::123456789012:role/dev-quarry-collector"
    }
  }

  assert {
    condition = alltrue([
      for service, json in run.the_services_roles.access_json : toset(flatten([
        for statement in jsondecode(json).Statement : statement.Resource
        if anytrue([for action in flatten([statement.Action]) : startswith(action, "s3:GetObject")])
        ])) == toset(flatten([
        for statement in jsondecode(output.policy_json).Statement : try(statement.NotResource, [])
        if statement.Sid == "${title(service)}ReadsElsewhere"
      ]))
    ])
    error_message = "What a service's role may read differs from module names' `reads`."
  }
  assert {
    condition = alltrue([
      for service, json in run.the_services_roles.access_json : toset(flatten([
        for statement in jsondecode(json).Statement : statement.Resource
        if anytrue([
          for action in flatten([statement.Action]) :
          contains(["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"], action)
        ])
        ])) == toset(flatten([
        for statement in jsondecode(output.policy_json).Statement : try(statement.NotResource, [])
        if statement.Sid == "${title(service)}WritesElsewhere"
      ]))
    ])
    error_message = "What a service's role may write or delete differs from module names' `writes`."
  }
  assert {
    condition     = length(run.the_services_roles.access_json) == 3
    error_message = "Three services are compared."
  }
}

run "bedrock_reads_and_writes_what_it_may" {
  command = plan

  assert {
    condition = alltrue([
      for word, action in { Reads = "s3:GetObject", Writes = "s3:PutObject" } : toset(flatten([
        for statement in jsondecode(run.bedrocks_role.access_json).Statement : statement.Resource
        if contains(flatten([statement.Action]), action)
        ])) == toset(flatten([
        for statement in jsondecode(output.policy_json).Statement : statement.NotResource if statement.Sid == "Bedrock${word}Elsewhere"
      ]))
    ])
    error_message = "The bucket's policy and Bedrock's role differ."
  }
}

run "bedrock_strictly_reads_and_writes_what_it_may" {
  command = plan
  variables { strict_prefixes = true }

  assert {
    condition = alltrue([
      for word, action in { Reads = "s3:GetObject", Writes = "s3:PutObject" } : toset(flatten([
        for statement in jsondecode(run.bedrocks_strict_role.access_json).Statement : statement.Resource
        if contains(flatten([statement.Action]), action)
        ])) == toset(flatten([
        for statement in jsondecode(output.policy_json).Statement : statement.NotResource if statement.Sid == "Bedrock${word}Elsewhere"
      ]))
    ])
    error_message = "The bucket's policy and Bedrock's strict role differ."
  }
}
