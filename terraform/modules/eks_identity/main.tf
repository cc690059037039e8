module "names" {
  source = "../names"
  place  = var.place
}

locals {
  services = toset(keys(var.service_accounts)) # the three, and the page where there is one
  by_agent = var.mode == "pod_identity"
  cluster  = var.cluster_name == null ? null : "arn:${var.place.partition}:eks:${var.place.region}:${var.place.account_id}:cluster/${var.cluster_name}"
  issuer   = var.oidc_issuer == null ? null : trimsuffix(trimprefix(var.oidc_issuer, "https://"), "/")
}

# For a service that cannot be reached through its own service account in its own namespace, there is no way to the role.
data "aws_iam_policy_document" "pod_identity" {
  for_each = local.by_agent ? local.services : []

  statement {
    sid     = "PodsOfTheCluster"
    actions = ["sts:AssumeRole", "sts:TagSession"] # the agent tells cluster, namespace and service account by session tags

    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.place.account_id]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.cluster]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-namespace"
      values   = [var.namespace]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-service-account"
      values   = [var.service_accounts[each.key]]
    }
  }
}

data "aws_iam_policy_document" "irsa" {
  for_each = local.by_agent ? [] : local.services

  statement {
    sid     = "ServiceAccount"
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["system:serviceaccount:${var.namespace}:${var.service_accounts[each.key]}"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = local.by_agent ? local.services : []

  cluster_name    = var.cluster_name
  namespace       = var.namespace
  service_account = var.service_accounts[each.key]
  role_arn        = var.role_arns[each.key]
}
