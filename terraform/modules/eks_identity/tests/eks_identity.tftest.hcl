provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place        = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  cluster_name = "tools"
  namespace    = "quarry"
  service_accounts = {
    preprocessor = "quarry-preprocessor"
    scheduler    = "quarry-scheduler"
    collector    = "quarry-collector"
  }
  role_arns = {
    preprocessor = "arn:aws:iam::123456789012:role/dev-quarry-preprocessor"
    scheduler    = "arn:aws:iam::123456789012:role/dev-quarry-scheduler"
    collector    = "arn:aws:iam::123456789012:role/dev-quarry-collector"
  }
}

run "by_the_agent_a_role_is_for_one_service_account_of_one_cluster" {
  command = plan

  assert {
    condition = { for service, json in output.trust_policies : service => jsondecode(json) } == {
      for service in ["collector", "preprocessor", "scheduler"] : service => {
        Version = "2012-10-17"
        Statement = [{
          Sid       = "PodsOfTheCluster"
          Effect    = "Allow"
          Principal = { Service = "pods.eks.amazonaws.com" }
          Action    = ["sts:TagSession", "sts:AssumeRole"]
          Condition = {
            ArnEquals = { "aws:SourceArn" = "arn:aws:eks:us-east-1:123456789012:cluster/tools" }
            StringEquals = {
              "aws:SourceAccount"                         = "123456789012"
              "aws:RequestTag/kubernetes-namespace"       = "quarry"
              "aws:RequestTag/kubernetes-service-account" = "quarry-${service}"
            }
          }
        }]
      }
    }
    error_message = "The trust policies differ."
  }

  assert {
    condition = {
      for service, one in aws_eks_pod_identity_association.this :
      service => [one.cluster_name, one.namespace, one.service_account, one.role_arn]
      } == {
      for service in ["collector", "preprocessor", "scheduler"] :
      service => ["tools", "quarry", "quarry-${service}", "arn:aws:iam::123456789012:role/dev-quarry-${service}"]
    }
    error_message = "Each service account must be associated with its service's role."
  }
}

run "by_openid_connect_a_role_is_for_one_service_account" {
  command = plan

  variables {
    mode              = "irsa"
    cluster_name      = null
    oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/ABC"
    oidc_issuer       = "https://oidc.eks.us-east-1.amazonaws.com/id/ABC"
  }

  assert {
    condition = { for service, json in output.trust_policies : service => jsondecode(json) } == {
      for service in ["collector", "preprocessor", "scheduler"] : service => {
        Version = "2012-10-17"
        Statement = [{
          Sid       = "ServiceAccount"
          Effect    = "Allow"
          Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/ABC" }
          Action    = "sts:AssumeRoleWithWebIdentity"
          Condition = {
            StringEquals = {
              "oidc.eks.us-east-1.amazonaws.com/id/ABC:sub" = "system:serviceaccount:quarry:quarry-${service}"
              "oidc.eks.us-east-1.amazonaws.com/id/ABC:aud" = "sts.amazonaws.com"
            }
          }
        }]
      }
    }
    error_message = "The trust policies differ."
  }

  assert {
    condition     = length(aws_eks_pod_identity_association.this) == 0
    error_message = "With IRSA there is no association."
  }
}

run "an_issuer_may_come_without_its_scheme" {
  command = plan

  variables {
    mode              = "irsa"
    oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/ABC"
    oidc_issuer       = "oidc.eks.us-east-1.amazonaws.com/id/ABC"
  }

  assert {
    condition     = contains(keys(jsondecode(output.trust_policies["collector"]).Statement[0].Condition.StringEquals), "oidc.eks.us-east-1.amazonaws.com/id/ABC:sub")
    error_message = "The condition keys must begin with the bare issuer."
  }
}

run "a_mode_that_is_not_known" {
  command = plan

  variables {
    mode = "kiam"
  }

  expect_failures = [var.mode]
}

run "pod_identity_without_a_cluster" {
  command = plan

  variables {
    cluster_name = null
  }

  expect_failures = [var.cluster_name]
}

run "irsa_without_a_provider" {
  command = plan

  variables {
    mode = "irsa"
  }

  expect_failures = [var.oidc_provider_arn, var.oidc_issuer]
}

run "a_service_without_an_account" {
  command = plan

  variables {
    service_accounts = { preprocessor = "p", scheduler = "s" }
  }

  expect_failures = [var.service_accounts]
}

run "two_services_with_one_account" {
  command = plan

  variables {
    service_accounts = { preprocessor = "quarry", scheduler = "quarry", collector = "other" }
  }

  expect_failures = [var.service_accounts]
}

run "any_namespace" {
  command = plan

  variables {
    namespace = "*"
  }

  expect_failures = [var.namespace]
}

run "a_service_without_a_role" {
  command = plan

  variables {
    role_arns = { scheduler = "arn:aws:iam::123456789012:role/dev-quarry-scheduler" }
  }

  expect_failures = [var.role_arns]
}

run "the_page_has_an_account_of_its_own" {
  command = plan

  variables {
    service_accounts = {
      preprocessor = "quarry-preprocessor"
      scheduler    = "quarry-scheduler"
      collector    = "quarry-collector"
      page         = "quarry-page"
    }
    role_arns = {
      preprocessor = "arn:aws:iam::123456789012:role/dev-quarry-preprocessor"
      scheduler    = "arn:aws:iam::123456789012:role/dev-quarry-scheduler"
      collector    = "arn:aws:iam::123456789012:role/dev-quarry-collector"
      page         = "arn:aws:iam::123456789012:role/dev-quarry-page"
    }
  }

  assert {
    condition     = jsondecode(output.trust_policies.page).Statement[0].Condition.StringEquals["aws:RequestTag/kubernetes-service-account"] == "quarry-page"
    error_message = "The page's account takes the page's role."
  }
  assert {
    condition     = aws_eks_pod_identity_association.this["page"].role_arn == "arn:aws:iam::123456789012:role/dev-quarry-page"
    error_message = "The association is made."
  }
}

run "an_account_without_a_role" {
  command = plan

  variables {
    service_accounts = {
      preprocessor = "quarry-preprocessor"
      scheduler    = "quarry-scheduler"
      collector    = "quarry-collector"
      page         = "quarry-page"
    }
  }

  expect_failures = [var.role_arns]
}
