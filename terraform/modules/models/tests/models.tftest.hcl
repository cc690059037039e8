variables {
  place = { env = "dev", region = "us-east-1", account_id = "123456789012" }
}

run "a_model_by_its_id_needs_itself_alone" {
  command = plan
  variables { models = ["anthropic.claude-3-haiku-20240307-v1:0", "deepseek.v3.2", "amazon.titan-embed-text-v1"] }

  assert {
    condition = output.create_arns == tolist([
      "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v1",
      "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
      "arn:aws:bedrock:us-east-1::foundation-model/deepseek.v3.2",
    ])
    error_message = "Create needs each model in the region, and nothing else."
  }
  assert {
    condition     = length(output.invoke_arns) == 0 && length(output.profile_arns) == 0
    error_message = "Bedrock's role is asked for nothing where no profile is used."
  }
}

run "a_geographic_profile_needs_every_region_of_it" {
  command = plan
  variables { models = ["us.anthropic.claude-sonnet-4-20250514-v1:0"] }

  assert {
    condition = output.create_arns == tolist([
      "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0",
      "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-20250514-v1:0",
      "arn:aws:bedrock:us-east-2::foundation-model/anthropic.claude-sonnet-4-20250514-v1:0",
      "arn:aws:bedrock:us-west-1::foundation-model/anthropic.claude-sonnet-4-20250514-v1:0",
      "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-sonnet-4-20250514-v1:0",
    ])
    error_message = "Create needs the profile and the model in every member region."
  }
  assert {
    condition     = output.invoke_arns == output.create_arns
    error_message = "Bedrock's role invokes the profile and the model in every member region."
  }
  assert {
    condition     = output.profile_arns == tolist(["arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0"])
    error_message = "The profile's ARN is the caller's region's and account's."
  }
}

run "a_source_region_outside_the_members_is_added" {
  command = plan
  variables {
    place  = { env = "dev", region = "eu-west-2", account_id = "123456789012" }
    models = ["eu.amazon.nova-lite-v1:0"]
  }
  assert {
    condition = output.foundation_model_arns == tolist([
      for region in ["eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3"] :
      "arn:aws:bedrock:${region}::foundation-model/amazon.nova-lite-v1:0"
    ])
    error_message = "The source region's model is needed too."
  }
}

run "a_global_profile_needs_the_model_without_a_region" {
  command = plan
  variables { models = ["global.anthropic.claude-sonnet-4-6", "anthropic.claude-3-haiku-20240307-v1:0"] }

  assert {
    condition = output.invoke_arns == tolist([
      "arn:aws:bedrock:::foundation-model/anthropic.claude-sonnet-4-6",
      "arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-sonnet-4-6",
      "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-6",
    ])
    error_message = "A global profile needs itself, the model here, and the model without a region; a model named directly does not belong here."
  }
  assert {
    condition     = output.create_arns == tolist(sort(concat(output.invoke_arns, ["arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"])))
    error_message = "Create needs all of them and the model that is named directly."
  }
}

run "every_geography_from_a_region_of_its_own" {
  command = plan
  variables {
    place  = { env = "dev", region = "ap-southeast-2", account_id = "123456789012" }
    models = ["au.anthropic.claude-sonnet-4-6", "apac.amazon.nova-pro-v1:0"]
  }
  assert {
    condition = output.foundation_model_arns == tolist(sort(concat(
      [for region in ["ap-southeast-2", "ap-southeast-4", "ap-southeast-6"] : "arn:aws:bedrock:${region}::foundation-model/anthropic.claude-sonnet-4-6"],
      [
        for region in [
          "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2",
          "ap-southeast-1", "ap-southeast-2", "ap-southeast-4",
        ] : "arn:aws:bedrock:${region}::foundation-model/amazon.nova-pro-v1:0"
      ],
    )))
    error_message = "Each profile goes to its own geography's regions."
  }
}

run "japan" {
  command = plan
  variables {
    place  = { env = "dev", region = "ap-northeast-3", account_id = "123456789012" }
    models = ["jp.anthropic.claude-sonnet-4-6"]
  }
  assert {
    condition = output.foundation_model_arns == tolist([
      "arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-sonnet-4-6",
      "arn:aws:bedrock:ap-northeast-3::foundation-model/anthropic.claude-sonnet-4-6",
    ])
    error_message = "Tokyo and Osaka."
  }
}

run "canada_calls_its_own_and_the_american" {
  command = plan
  variables {
    place  = { env = "dev", region = "ca-central-1", account_id = "123456789012" }
    models = ["ca.amazon.nova-lite-v1:0", "us.amazon.nova-pro-v1:0"]
  }
  assert {
    condition = output.foundation_model_arns == tolist([
      "arn:aws:bedrock:ca-central-1::foundation-model/amazon.nova-lite-v1:0",
      "arn:aws:bedrock:ca-central-1::foundation-model/amazon.nova-pro-v1:0",
      "arn:aws:bedrock:ca-west-1::foundation-model/amazon.nova-lite-v1:0",
      "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
      "arn:aws:bedrock:us-east-2::foundation-model/amazon.nova-pro-v1:0",
      "arn:aws:bedrock:us-west-1::foundation-model/amazon.nova-pro-v1:0",
      "arn:aws:bedrock:us-west-2::foundation-model/amazon.nova-pro-v1:0",
    ])
    error_message = "Canada is a source of the American profiles."
  }
}

run "govcloud_has_its_own_partition" {
  command = plan
  variables {
    place  = { env = "gov", region = "us-gov-west-1", account_id = "123456789012", partition = "aws-us-gov" }
    models = ["us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0"]
  }
  assert {
    condition = output.create_arns == tolist([
      "arn:aws-us-gov:bedrock:us-gov-east-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0",
      "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
      "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0",
    ])
    error_message = "`us-gov` is not `us`."
  }
}

run "an_arn_says_the_same_as_an_id" {
  command = plan
  variables {
    models = [
      "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
      "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
    ]
  }
  assert {
    condition = output.create_arns == tolist([
      "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
      "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
      "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
      "arn:aws:bedrock:us-east-2::foundation-model/amazon.nova-lite-v1:0",
      "arn:aws:bedrock:us-west-1::foundation-model/amazon.nova-lite-v1:0",
      "arn:aws:bedrock:us-west-2::foundation-model/amazon.nova-lite-v1:0",
    ])
    error_message = "ARNs must expand as ids do."
  }
}

run "an_application_profile_with_its_models" {
  command = plan
  variables {
    application_profiles = {
      "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6" = [
        "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
      ]
    }
  }
  assert {
    condition = output.create_arns == tolist([
      "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
      "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
      "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
    ]) && output.invoke_arns == output.create_arns
    error_message = "The profile and the models that were written with it."
  }
}

run "the_regions_hold_all_that_the_simulated_bedrock_routes_to" {
  command = plan
  variables { models = ["deepseek.v3.2"] }
  assert {
    condition = alltrue([
      for geography, regions in jsondecode(file("../../../local/src/quarry_local/bedrock/models/catalogue.json")).geographies :
      length(setsubtract(regions, local.geographies[geography].regions)) == 0
    ])
    error_message = "A region of the catalogue is not in inference_profile_regions.json: jobs would be refused there."
  }
}

# What cannot be expanded is refused, each with a message that says what to write.

run "a_profile_of_another_geography" {
  command = plan
  variables { models = ["eu.anthropic.claude-sonnet-4-20250514-v1:0"] }
  expect_failures = [output.create_arns]

  assert {
    condition     = strcontains(one(local.problems), "cannot be called from us-east-1; write global.anthropic.claude-sonnet-4-20250514-v1:0 or us.anthropic.claude-sonnet-4-20250514-v1:0.")
    error_message = "The message must say what to write."
  }
}

run "a_global_profile_in_govcloud" {
  command = plan
  variables {
    place  = { env = "gov", region = "us-gov-west-1", account_id = "123456789012", partition = "aws-us-gov" }
    models = ["global.anthropic.claude-sonnet-4-6"]
  }
  expect_failures = [output.create_arns]

  assert {
    condition     = strcontains(one(local.problems), "write us-gov.anthropic.claude-sonnet-4-6.")
    error_message = "The message must say what to write."
  }
}

run "japans_profile_from_seoul" {
  command = plan
  variables {
    place  = { env = "dev", region = "ap-northeast-2", account_id = "123456789012" }
    models = ["jp.anthropic.claude-sonnet-4-6"]
  }
  expect_failures = [output.create_arns]

  assert {
    condition     = strcontains(one(local.problems), "write apac.anthropic.claude-sonnet-4-6 or global.anthropic.claude-sonnet-4-6.")
    error_message = "The message must say what to write."
  }
}

run "a_geography_that_is_not_known" {
  command = plan
  variables { models = ["zz.anthropic.claude-sonnet-4-6"] }
  expect_failures = [output.create_arns]

  assert {
    condition     = strcontains(one(local.problems), "a geography whose regions are not known")
    error_message = "The message must say what to write."
  }
}

run "a_word_that_is_no_model" {
  command = plan
  variables { models = ["claude-3-haiku"] }
  expect_failures = [output.create_arns]

  assert {
    condition     = strcontains(one(local.problems), "not the id of a model")
    error_message = "The message must say what to write."
  }
}

run "a_pattern_instead_of_a_model" {
  command = plan
  variables { models = ["anthropic.*"] }
  expect_failures = [output.create_arns]

  assert {
    condition     = strcontains(one(local.problems), "not the id of a model")
    error_message = "The message must say what to write."
  }
}

run "another_regions_arn" {
  command = plan
  variables { models = ["arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"] }
  expect_failures = [output.create_arns]

  assert {
    condition     = strcontains(one(local.problems), "not a model or an inference profile of us-east-1 and account 123456789012")
    error_message = "The message must say what to write."
  }
}

run "another_accounts_profile" {
  command = plan
  variables { models = ["arn:aws:bedrock:us-east-1:210987654321:inference-profile/us.amazon.nova-lite-v1:0"] }
  expect_failures = [output.create_arns]

  assert {
    condition     = strcontains(one(local.problems), "not a model or an inference profile of us-east-1 and account 123456789012")
    error_message = "The message must say what to write."
  }
}

run "a_profiles_id_in_a_models_arn" {
  command = plan
  variables { models = ["arn:aws:bedrock:us-east-1::foundation-model/us.amazon.nova-lite-v1:0"] }
  expect_failures = [output.create_arns]

  assert {
    condition     = strcontains(one(local.problems), "write us.amazon.nova-lite-v1:0 alone.")
    error_message = "The message must say what to write."
  }
}

run "a_models_id_in_a_profiles_arn" {
  command = plan
  variables { models = ["arn:aws:bedrock:us-east-1:123456789012:inference-profile/amazon.nova-lite-v1:0"] }
  expect_failures = [output.create_arns]

  assert {
    condition     = strcontains(one(local.problems), "not one of AWS's own inference profiles")
    error_message = "The message must say what to write."
  }
}

run "an_application_profile_among_the_models" {
  command = plan
  variables { models = ["arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"] }
  expect_failures = [output.create_arns]

  assert {
    condition     = strcontains(one(local.problems), "write it in application_profiles")
    error_message = "The message must say what to write."
  }
}

run "no_model_at_all" {
  command         = plan
  expect_failures = [var.models]
}

run "a_model_twice" {
  command = plan
  variables { models = ["deepseek.v3.2", "deepseek.v3.2"] }
  expect_failures = [var.models]
}

run "an_application_profile_of_another_account" {
  command = plan
  variables {
    application_profiles = {
      "arn:aws:bedrock:us-east-1:210987654321:application-inference-profile/a1b2c3d4e5f6" = ["arn:aws:bedrock:us-east-1::foundation-model/deepseek.v3.2"]
    }
  }
  expect_failures = [var.application_profiles]
}

run "an_application_profile_without_models" {
  command = plan
  variables {
    application_profiles = { "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6" = [] }
  }
  expect_failures = [var.application_profiles]
}

run "an_application_profile_of_every_model" {
  command = plan
  variables {
    application_profiles = {
      "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6" = ["arn:aws:bedrock:us-east-1::foundation-model/*"]
    }
  }
  expect_failures = [var.application_profiles]
}
