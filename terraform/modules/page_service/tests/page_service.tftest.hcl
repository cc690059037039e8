provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  place             = { env = "dev", region = "us-east-1", account_id = "123456789012" }
  cluster_arn       = "arn:aws:ecs:us-east-1:123456789012:cluster/dev-quarry"
  namespace_id      = "ns-0123456789abcdef"
  vpc_id            = "vpc-1"
  subnet_ids        = ["subnet-1", "subnet-2"]
  security_group_id = "sg-services"
  role_arn          = "arn:aws:iam::123456789012:role/dev-quarry-page"
  image             = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dev-quarry-cli:0.2.0"
  repository_arn    = "arn:aws:ecr:us-east-1:123456789012:repository/dev-quarry-cli"
  environment       = { QUARRY_ENV = "dev", QUARRY_TABLE = "dev-quarry-ledger" }
  token             = { secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dev-quarry-page-AbCdEf" }
}

run "one_restricted_task_that_only_looks" {
  command = plan

  assert {
    condition = (
      aws_ecs_service.this.desired_count == 1 && aws_ecs_service.this.enable_execute_command == false &&
      one(aws_ecs_service.this.network_configuration).assign_public_ip == false && length(aws_ecs_service.this.load_balancer) == 0
    )
    error_message = "One task, without a public address, a shell or a load balancer."
  }
  assert {
    condition = {
      for key, value in jsondecode(aws_ecs_task_definition.this.container_definitions)[0] : key => value
      if contains(["command", "environment", "secrets", "user", "readonlyRootFilesystem", "linuxParameters", "portMappings"], key)
      } == {
      command = ["ui", "--host", "0.0.0.0", "--port", "8080", "--no-open"]
      environment = [
        { name = "QUARRY_ENV", value = "dev" },
        { name = "QUARRY_TABLE", value = "dev-quarry-ledger" },
        { name = "QUARRY_UI_ALLOW_HOSTS", value = "localhost" },
      ]
      secrets                = [{ name = "QUARRY_UI_TOKEN", valueFrom = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dev-quarry-page-AbCdEf" }]
      user                   = "10001:10001"
      readonlyRootFilesystem = true
      linuxParameters        = { initProcessEnabled = true, capabilities = { add = [], drop = ["ALL"] } }
      portMappings           = [{ containerPort = 8080, hostPort = 8080, protocol = "tcp" }]
    }
    error_message = "The container is that of the command, started as a page that only looks."
  }
  assert {
    condition     = strcontains(join(" ", jsondecode(aws_ecs_task_definition.this.container_definitions)[0].healthCheck.command), "127.0.0.1:8080/healthz")
    error_message = "Its health is asked for at its own port."
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.group) == 0 && length(aws_vpc_security_group_ingress_rule.cidr) == 0
    error_message = "By default nobody reaches it."
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_role.execution.assume_role_policy).Statement : statement.Sid] == ["TasksOfThisAccount"] # whole in role_trust
    error_message = "ECS itself starts the task, for this account alone."
  }
  assert {
    condition = jsondecode(output.execution_access_json).Statement == [
      { Sid = "SignInToEcr", Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" },
      {
        Sid      = "PullImage"
        Effect   = "Allow"
        Action   = ["ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage", "ecr:BatchCheckLayerAvailability"]
        Resource = "arn:aws:ecr:us-east-1:123456789012:repository/dev-quarry-cli"
      },
      {
        Sid      = "WriteLog"
        Effect   = "Allow"
        Action   = ["logs:PutLogEvents", "logs:CreateLogStream"]
        Resource = "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/dev-quarry-page:*"
      },
      {
        Sid      = "ReadToken"
        Effect   = "Allow"
        Action   = "secretsmanager:GetSecretValue"
        Resource = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dev-quarry-page-AbCdEf"
      },
    ]
    error_message = "To start it, ECS needs its image, its log and its token."
  }
}

run "behind_a_load_balancer_under_a_name_with_buttons" {
  command = plan

  variables {
    write                         = true
    hosts                         = ["quarry.example.com"]
    dashboard_url                 = "https://grafana.example.com/d/quarry"
    target_group_arn              = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/page/0123456789abcdef"
    allow_from_security_group_ids = ["sg-balancer"]
    allow_from_cidrs              = ["10.20.0.0/16"]
    token = {
      secret_arn  = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dev-quarry-page-AbCdEf"
      kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
    }
  }

  assert {
    condition     = one(aws_ecs_service.this.load_balancer).container_port == 8080 && aws_ecs_service.this.health_check_grace_period_seconds == 60
    error_message = "The load balancer comes to the page's port."
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].command, "--write")
    error_message = "It may control runs."
  }
  assert {
    condition = [for each in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : each if startswith(each.name, "QUARRY_UI")] == [
      { name = "QUARRY_UI_ALLOW_HOSTS", value = "quarry.example.com" },
      { name = "QUARRY_UI_DASHBOARD_URL", value = "https://grafana.example.com/d/quarry" },
    ]
    error_message = "It answers the name of the load balancer, and leads to the dashboard."
  }
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.group["0"].referenced_security_group_id == "sg-balancer" && aws_vpc_security_group_ingress_rule.group["0"].from_port == 8080 &&
      aws_vpc_security_group_ingress_rule.cidr["10.20.0.0/16"].to_port == 8080
    )
    error_message = "Whoever is named reaches its port."
  }
  assert {
    condition     = contains([for statement in jsondecode(output.execution_access_json).Statement : statement.Sid], "DecryptToken")
    error_message = "A token under a key of one's own is decrypted."
  }
}

run "a_token_in_clear" {
  command = plan

  variables {
    token = { secret_arn = "0123456789abcdef0123456789abcdef" }
  }

  expect_failures = [var.token]
}

run "a_token_among_the_variables" {
  command = plan

  variables {
    environment = { QUARRY_UI_TOKEN = "0123456789abcdef0123456789abcdef" }
  }

  expect_failures = [var.environment]
}

run "an_image_that_moves" {
  command = plan

  variables {
    image = "quarry-cli:latest"
  }

  expect_failures = [var.image]
}

run "the_whole_world" {
  command = plan

  variables {
    allow_from_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.allow_from_cidrs]
}

run "an_address_in_place_of_a_name" {
  command = plan

  variables {
    hosts = ["https://quarry.example.com"]
  }

  expect_failures = [var.hosts]
}
