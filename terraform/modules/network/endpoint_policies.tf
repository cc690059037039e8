# What may pass through each interface endpoint: the calls that Quarry makes, on this environment's things, by principals
# of this account. A second fence around the roles: keys of another account that found their way in here carry nothing out,
# and a role that was given too much elsewhere has no more than this from here.

locals {
  of_service = "arn:${var.place.partition}:%s:${var.place.region}:${var.place.account_id}:%s"
  prefixed   = "${var.place.env}-quarry-*"
  profiles   = [for kind in ["inference-profile", "application-inference-profile"] : format(local.of_service, "bedrock", "${kind}/*")]

  # Statements by endpoint. `unsigned`: the call bears no principal, its token says who it is.
  passes = {
    bedrock = [
      {
        sid       = "CreateJobs"
        actions   = ["bedrock:CreateModelInvocationJob"]
        resources = concat([module.names.jobs_arn, "arn:${var.place.partition}:bedrock:*::foundation-model/*"], local.profiles)
      },
      {
        sid       = "FollowJobs"
        actions   = ["bedrock:GetModelInvocationJob", "bedrock:StopModelInvocationJob", "bedrock:TagResource"]
        resources = [module.names.jobs_arn]
      },
      {
        sid       = "SeeProfiles"
        actions   = ["bedrock:GetInferenceProfile"]
        resources = local.profiles
      },
      {
        sid = "SeeWhatHasNoArn"
        actions = [
          "bedrock:GetFoundationModelAvailability",
          "bedrock:ListFoundationModels",
          "bedrock:ListInferenceProfiles",
          "bedrock:ListModelInvocationJobs",
        ]
        resources = ["*"]
      },
    ]
    # What the scheduler may ask of which model is said by its role.
    bedrock-runtime = [{
      sid       = "AskOnDemand"
      actions   = ["bedrock:InvokeModel"]
      resources = concat(["arn:${var.place.partition}:bedrock:*::foundation-model/*"], local.profiles)
    }]
    sqs = [{
      sid = "TheEnvironmentsQueues"
      actions = [
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
      ]
      resources = [format(local.of_service, "sqs", local.prefixed)]
    }]
    events = [{
      sid       = "ReportRuns"
      actions   = ["events:PutEvents"]
      resources = [module.names.event_bus_arn]
    }]
    logs = [{
      sid       = "WriteLogs"
      actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      resources = [format(local.of_service, "logs", "log-group:/ecs/${local.prefixed}:*")]
    }]
    secretsmanager = [{
      sid       = "ReadSecretsOfTasks"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = var.secret_arns
    }]
    # Images may come from another account's repositories, and are only ever pulled.
    "ecr.api" = local.pulls
    "ecr.dkr" = local.pulls
    sts = [
      {
        sid       = "AssumeTheEnvironmentsRoles"
        actions   = ["sts:AssumeRoleWithWebIdentity"]
        resources = ["arn:${var.place.partition}:iam::${var.place.account_id}:role/${local.prefixed}"]
        unsigned  = true
      },
      {
        sid       = "WhoAmI"
        actions   = ["sts:GetCallerIdentity"]
        resources = ["*"]
      },
    ]
  }
  pulls = [
    {
      sid       = "SignInToEcr"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = ["*"] # AWS knows no resource for it
    },
    {
      sid       = "PullImages"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = ["arn:${var.place.partition}:ecr:*:*:repository/*"]
    },
  ]
}

data "aws_iam_policy_document" "interface" {
  for_each = local.services

  dynamic "statement" {
    for_each = local.passes[each.key]

    content {
      sid       = statement.value.sid
      actions   = statement.value.actions
      resources = statement.value.resources

      principals {
        type        = "*"
        identifiers = ["*"] # an endpoint's policy names no roles: who may do what is said by theirs
      }

      dynamic "condition" {
        for_each = try(statement.value.unsigned, false) ? [] : [var.place.account_id]

        content {
          test     = "StringEquals"
          variable = "aws:PrincipalAccount"
          values   = [condition.value]
        }
      }
    }
  }
}
