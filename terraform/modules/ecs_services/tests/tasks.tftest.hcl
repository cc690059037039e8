# Planned with the real provider and no account: task definitions and policies are computed locally.

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
  vpc_id            = "vpc-0a"
  subnet_ids        = ["subnet-0a", "subnet-0b"]
  security_group_id = "sg-0a"
  role_arns = {
    preprocessor = "arn:aws:iam::123456789012:role/dev-quarry-preprocessor"
    scheduler    = "arn:aws:iam::123456789012:role/dev-quarry-scheduler"
    collector    = "arn:aws:iam::123456789012:role/dev-quarry-collector"
  }
  images = {
    preprocessor = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dev-quarry-preprocessor:0.3.0"
    scheduler    = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dev-quarry-scheduler:0.3.0"
    collector    = "example.org/quarry-collector@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }
  repository_arns = [
    "arn:aws:ecr:us-east-1:123456789012:repository/dev-quarry-preprocessor",
    "arn:aws:ecr:us-east-1:123456789012:repository/dev-quarry-scheduler",
  ]
  environment = { QUARRY_REGION = "us-east-1", QUARRY_ENV = "dev" }
}

run "a_container_is_exactly_this" {
  command = plan

  assert {
    condition = jsondecode(aws_ecs_task_definition.service["collector"].container_definitions) == [{
      name  = "collector"
      image = "example.org/quarry-collector@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      user  = "10001:10001"
      environment = [
        { name = "QUARRY_ENV", value = "dev" },
        { name = "QUARRY_REGION", value = "us-east-1" },
      ]
      essential              = true
      readonlyRootFilesystem = true
      linuxParameters        = { initProcessEnabled = true, capabilities = { add = [], drop = ["ALL"] } }
      mountPoints            = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
      portMappings           = [{ containerPort = 9090, hostPort = 9090, protocol = "tcp" }]
      healthCheck = {
        command     = ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9090/healthz', timeout=5)"]
        interval    = 30
        timeout     = 10
        retries     = 3
        startPeriod = 60
      }
      stopTimeout = 60
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = "/ecs/dev-quarry-collector"
          awslogs-region        = "us-east-1"
          awslogs-stream-prefix = "collector"
          mode                  = "non-blocking"
          max-buffer-size       = "4m"
        }
      }
    }]
    error_message = "The collector's container differs."
  }
  assert {
    condition = {
      for service in ["preprocessor", "scheduler", "collector"] : service => {
        image = jsondecode(aws_ecs_task_definition.service[service].container_definitions)[0].image
        group = jsondecode(aws_ecs_task_definition.service[service].container_definitions)[0].logConfiguration.options.awslogs-group
        role  = aws_ecs_task_definition.service[service].task_role_arn
      }
      } == {
      for service in ["preprocessor", "scheduler", "collector"] : service => {
        image = var.images[service]
        group = "/ecs/dev-quarry-${service}"
        role  = "arn:aws:iam::123456789012:role/dev-quarry-${service}"
      }
    }
    error_message = "Each service has its own image, log and role."
  }
}

run "tasks_are_fargate_tasks_of_their_size" {
  command = plan

  variables {
    cpu_architecture = "ARM64"
    services         = { collector = { cpu_units = 1024, memory_mib = 4096, storage_gib = 140 }, scheduler = { tasks_max = 3 } }
  }

  assert {
    condition = { for service, task in aws_ecs_task_definition.service : service => "${task.family} ${task.cpu}/${task.memory} ${one([for storage in task.ephemeral_storage : storage.size_in_gib]) == null ? 20 : one([for storage in task.ephemeral_storage : storage.size_in_gib])}" } == {
      preprocessor = "dev-quarry-preprocessor 512/1024 20"
      scheduler    = "dev-quarry-scheduler 256/512 20"
      collector    = "dev-quarry-collector 1024/4096 140"
    }
    error_message = "Sizes differ from the defaults only where it is said."
  }
  assert {
    condition     = alltrue([for task in aws_ecs_task_definition.service : task.network_mode == "awsvpc" && tolist(task.requires_compatibilities) == tolist(["FARGATE"]) && task.runtime_platform[0].cpu_architecture == "ARM64" && task.runtime_platform[0].operating_system_family == "LINUX" && [for volume in task.volume : volume.name] == ["tmp"]])
    error_message = "Linux on Fargate, of the architecture asked for, with one volume."
  }
}

run "services_roll_back_and_start_no_task_in_public" {
  command = plan

  assert {
    condition     = { for service, resource in aws_ecs_service.scaled : service => resource.name } == { for service in ["preprocessor", "scheduler", "collector"] : service => "dev-quarry-${service}" } && length(aws_ecs_service.fixed) == 0
    error_message = "With autoscaling there are the three scaled services alone."
  }
  assert {
    condition = alltrue([for service in aws_ecs_service.scaled :
      service.deployment_circuit_breaker[0].enable && service.deployment_circuit_breaker[0].rollback
      && service.deployment_minimum_healthy_percent == 100 && service.deployment_maximum_percent == 200
      && service.enable_execute_command == false && service.propagate_tags == "SERVICE" && service.launch_type == "FARGATE"
      && service.network_configuration[0].assign_public_ip == false
      && service.network_configuration[0].subnets == toset(["subnet-0a", "subnet-0b"])
      && service.network_configuration[0].security_groups == toset(["sg-0a"])
      && length(service.service_registries) == 1
    ])
    error_message = "A scaled service differs."
  }
  assert {
    condition     = { for service, resource in aws_ecs_service.scaled : service => resource.desired_count } == { preprocessor = 1, scheduler = 1, collector = 1 }
    error_message = "A new environment starts awake."
  }
}

run "a_deployment_that_makes_dead_letters_is_rolled_back" {
  command = plan

  assert {
    condition = alltrue([
      for service, resource in aws_ecs_service.scaled :
      length(resource.alarms) == 1 && one(resource.alarms).enable && one(resource.alarms).rollback && one(resource.alarms).alarm_names == toset(["dev-quarry-${service}-new-dead-letters"])
    ])
    error_message = "Each service is rolled back by its own alarm, and by no other's."
  }
  assert {
    condition = { for service, alarm in aws_cloudwatch_metric_alarm.new_dead_letters : service => join(" ", sort([for query in alarm.metric_query : query.metric[0].dimensions.QueueName if length(query.metric) > 0])) } == {
      preprocessor = "dev-quarry-slices-dlq"
      scheduler    = "dev-quarry-events-dlq dev-quarry-on-demand-dlq dev-quarry-scheduler-dlq"
      collector    = "dev-quarry-collector-dlq"
    }
    error_message = "A service is judged by the dead-letter messages of its own queues, but for the users' manifests."
  }
  assert {
    condition     = { for service, alarm in aws_cloudwatch_metric_alarm.new_dead_letters : service => one([for query in alarm.metric_query : query.expression if query.return_data]) }["scheduler"] == "DIFF(FILL(scheduler, REPEAT) + FILL(events, REPEAT) + FILL(on_demand, REPEAT))"
    error_message = "Old dead-letter messages must not count, only new ones."
  }
}

run "without_autoscaling_too" {
  command = plan

  variables {
    autoscaling = null
  }

  assert {
    condition     = alltrue([for service, resource in aws_ecs_service.fixed : one(resource.alarms).alarm_names == toset(["dev-quarry-${service}-new-dead-letters"])])
    error_message = "The fixed services are rolled back as the scaled ones."
  }
}

run "dead_letters_may_be_left_to_people" {
  command = plan

  variables {
    rollback_on_dead_letters = false
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.new_dead_letters) == 0 && alltrue([for resource in aws_ecs_service.scaled : length(resource.alarms) == 0])
    error_message = "Without it there is neither alarm nor rollback by one."
  }
}

run "queries_are_ready_over_the_three_logs" {
  command = plan

  assert {
    condition = alltrue([
      for query in aws_cloudwatch_query_definition.ready :
      toset(query.log_group_names) == toset(["/ecs/dev-quarry-preprocessor", "/ecs/dev-quarry-scheduler", "/ecs/dev-quarry-collector"])
    ])
    error_message = "Each query reads the three services' logs."
  }
  assert {
    condition     = contains([for query in aws_cloudwatch_query_definition.ready : query.name], "dev-quarry/one-run") && length(aws_cloudwatch_query_definition.ready) == 6
    error_message = "The queries are those of docs/logs.md."
  }
}

run "queries_may_be_left_out" {
  command = plan

  variables {
    log_queries = false
  }
  assert {
    condition     = length(aws_cloudwatch_query_definition.ready) == 0
    error_message = "There are none."
  }
}

run "logs_are_kept_as_long_as_asked" {
  command = plan

  variables {
    log_retention_days = 30
    kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition = { for service, group in aws_cloudwatch_log_group.service : service => [group.name, tostring(group.retention_in_days), group.kms_key_id] } == {
      for service in ["preprocessor", "scheduler", "collector"] : service => ["/ecs/dev-quarry-${service}", "30", "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"]
    }
    error_message = "A log group differs."
  }
}

run "prometheus_finds_every_task_by_name" {
  command = plan

  variables {
    scrape_from_security_group_ids = ["sg-0prom"]
    scrape_from_cidrs              = ["10.20.0.0/16"]
  }

  assert {
    condition     = output.scrape_targets == { for service in ["preprocessor", "scheduler", "collector"] : service => "${service}.dev-quarry.internal" }
    error_message = "The names to scrape differ."
  }
  assert {
    condition     = aws_service_discovery_private_dns_namespace.this.vpc == "vpc-0a" && alltrue([for service in aws_service_discovery_service.scrape : service.dns_config[0].routing_policy == "MULTIVALUE" && [for record in service.dns_config[0].dns_records : "${record.type} ${record.ttl}"] == ["A 10"]])
    error_message = "One A record for each task, in the VPC's own zone."
  }
  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.scrape_from_group : "${rule.security_group_id} ${rule.referenced_security_group_id} ${rule.ip_protocol} ${rule.from_port}-${rule.to_port}"] == ["sg-0a sg-0prom tcp 9090-9090"]
    error_message = "Prometheus' group may read port 9090 and no other."
  }
  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.scrape_from_cidr : "${rule.security_group_id} ${rule.cidr_ipv4} ${rule.ip_protocol} ${rule.from_port}-${rule.to_port}"] == ["sg-0a 10.20.0.0/16 tcp 9090-9090"]
    error_message = "The range may read port 9090 and no other."
  }
}

run "nobody_may_scrape_unless_named" {
  command = plan

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.scrape_from_group) + length(aws_vpc_security_group_ingress_rule.scrape_from_cidr) == 0
    error_message = "No rule in without being asked for."
  }
}

run "the_execution_role_pulls_these_images_and_writes_these_logs" {
  command = plan

  assert {
    condition     = [for statement in jsondecode(output.execution_trust_json).Statement : statement.Sid] == ["TasksOfThisAccount"] # whole in role_trust
    error_message = "The execution role's trust differs."
  }
  assert {
    condition = jsondecode(output.execution_access_json) == {
      Version = "2012-10-17"
      Statement = [
        { Sid = "SignInToEcr", Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" },
        {
          Sid    = "PullImages"
          Effect = "Allow"
          Action = ["ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage", "ecr:BatchCheckLayerAvailability"]
          Resource = [
            "arn:aws:ecr:us-east-1:123456789012:repository/dev-quarry-scheduler",
            "arn:aws:ecr:us-east-1:123456789012:repository/dev-quarry-preprocessor",
          ]
        },
        {
          Sid    = "WriteLogs"
          Effect = "Allow"
          Action = ["logs:PutLogEvents", "logs:CreateLogStream"]
          Resource = [
            "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/dev-quarry-scheduler:*",
            "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/dev-quarry-preprocessor:*",
            "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/dev-quarry-collector:*",
          ]
        },
      ]
    }
    error_message = "The execution role's policy differs."
  }
  assert {
    condition     = aws_iam_role.execution.name == "dev-quarry-execution" && output.execution_role_arn == "arn:aws:iam::123456789012:role/dev-quarry-execution"
    error_message = "The execution role's name differs."
  }
  assert {
    condition     = jsondecode(aws_iam_role.execution.assume_role_policy) == jsondecode(output.execution_trust_json) && jsondecode(aws_iam_role_policy.execution.policy) == jsondecode(output.execution_access_json)
    error_message = "The role has another policy than the output says."
  }
}

run "public_images_need_no_ecr" {
  command = plan

  variables {
    repository_arns          = []
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/boundary"
  }

  assert {
    condition     = [for statement in jsondecode(output.execution_access_json).Statement : statement.Sid] == ["WriteLogs"]
    error_message = "Without repositories the role may not speak to ECR."
  }
  assert {
    condition     = aws_iam_role.execution.permissions_boundary == "arn:aws:iam::123456789012:policy/boundary"
    error_message = "The boundary must be the role's."
  }
}

# --------------------------------------------------------------------------- what is refused

run "refuses_a_stop_shorter_than_a_drain" {
  command = plan
  variables {
    environment = { QUARRY_DRAIN_S = "55" }
  }
  expect_failures = [var.stop_timeout_s]
}

run "refuses_a_stop_longer_than_fargate_waits" {
  command = plan
  variables {
    stop_timeout_s = 121
  }
  expect_failures = [var.stop_timeout_s]
}

run "refuses_a_service_nobody_knows" {
  command = plan
  variables {
    services = { colector = { tasks_max = 2 } }
  }
  expect_failures = [var.services]
}

run "refuses_a_size_that_fargate_lacks" {
  command = plan
  variables {
    services = { collector = { cpu_units = 512, memory_mib = 512 } }
  }
  expect_failures = [aws_ecs_task_definition.service]
}

run "refuses_a_size_between_fargates_steps" {
  command = plan
  variables {
    services = { collector = { cpu_units = 512, memory_mib = 1536 } }
  }
  expect_failures = [aws_ecs_task_definition.service]
}

run "refuses_cpu_units_that_fargate_lacks" {
  command = plan
  variables {
    services = { collector = { cpu_units = 300 } }
  }
  expect_failures = [aws_ecs_task_definition.service]
}

run "refuses_a_disk_that_fargate_lacks" {
  command = plan
  variables {
    services = { collector = { storage_gib = 10 } }
  }
  expect_failures = [aws_ecs_task_definition.service]
}

run "refuses_an_image_that_may_move" {
  command = plan
  variables {
    images = {
      preprocessor = "example.org/quarry-preprocessor:latest"
      scheduler    = "example.org/quarry-scheduler:0.3.0"
      collector    = "example.org/quarry-collector:0.3.0"
    }
  }
  expect_failures = [var.images]
}

run "refuses_an_image_without_a_tag" {
  command = plan
  variables {
    images = {
      preprocessor = "registry.example.org:5000/quarry-preprocessor"
      scheduler    = "example.org/quarry-scheduler:0.3.0"
      collector    = "example.org/quarry-collector:0.3.0"
    }
  }
  expect_failures = [var.images]
}

run "refuses_two_images" {
  command = plan
  variables {
    images = {
      preprocessor = "example.org/quarry-preprocessor:0.3.0"
      scheduler    = "example.org/quarry-scheduler:0.3.0"
    }
  }
  expect_failures = [var.images]
}

run "refuses_a_role_too_few" {
  command = plan
  variables {
    role_arns = { preprocessor = "arn:aws:iam::123456789012:role/dev-quarry-preprocessor" }
  }
  expect_failures = [var.role_arns]
}

run "refuses_another_metrics_port" {
  command = plan
  variables {
    environment = { QUARRY_METRICS_PORT = "9091" }
  }
  expect_failures = [var.environment]
}

run "refuses_the_world_as_scraper" {
  command = plan
  variables {
    scrape_from_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.scrape_from_cidrs]
}

run "refuses_repositories_by_wildcard" {
  command = plan
  variables {
    repository_arns = ["arn:aws:ecr:us-east-1:123456789012:repository/*"]
  }
  expect_failures = [var.repository_arns]
}

run "refuses_another_architecture" {
  command = plan
  variables {
    cpu_architecture = "arm64"
  }
  expect_failures = [var.cpu_architecture]
}

run "refuses_no_subnets" {
  command = plan
  variables {
    subnet_ids = []
  }
  expect_failures = [var.subnet_ids]
}

run "refuses_days_that_cloudwatch_does_not_know" {
  command = plan
  variables {
    log_retention_days = 31
  }
  expect_failures = [var.log_retention_days]
}

run "the_preprocessor_alone_gets_the_token_and_its_role_alone_the_secret" {
  command = plan

  variables {
    hugging_face_token = {
      secret_arn  = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-AbCdEf"
      kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
    }
  }

  assert {
    condition = {
      for service in ["preprocessor", "scheduler", "collector"] : service =>
      try(jsondecode(aws_ecs_task_definition.service[service].container_definitions)[0].secrets, null)
      } == {
      preprocessor = [{ name = "HF_TOKEN", valueFrom = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-AbCdEf" }]
      scheduler    = null
      collector    = null
    }
    error_message = "A container other than the preprocessor's has the token, or the preprocessor's has not."
  }
  assert {
    condition = [for each in jsondecode(data.aws_iam_policy_document.token[0].json).Statement : [each.Action, each.Resource]] == [
      ["secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-AbCdEf"],
      ["kms:Decrypt", "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"],
    ]
    error_message = "The role that starts tasks may do other than read the one secret."
  }
}

run "the_collector_alone_gets_the_webhooks_key" {
  command = plan

  variables {
    webhook_key = { secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:webhook-AbCdEf", kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }

  assert {
    condition = { for service, task in aws_ecs_task_definition.service : service => jsonencode(lookup(jsondecode(task.container_definitions)[0], "secrets", [])) } == {
      preprocessor = "[]"
      scheduler    = "[]"
      collector    = jsonencode([{ name = "QUARRY_WEBHOOK_KEY", valueFrom = "arn:aws:secretsmanager:us-east-1:123456789012:secret:webhook-AbCdEf" }])
    }
    error_message = "Only the collector signs."
  }
  assert {
    condition = [for statement in jsondecode(data.aws_iam_policy_document.token[0].json).Statement : "${statement.Sid} ${statement.Action} ${statement.Resource}"] == [
      "ReadWebhookKey secretsmanager:GetSecretValue arn:aws:secretsmanager:us-east-1:123456789012:secret:webhook-AbCdEf",
      "DecryptWebhookKey kms:Decrypt arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555",
    ]
    error_message = "The execution role reads this one secret."
  }
}

run "a_webhook_key_by_wildcard_is_refused" {
  command = plan

  variables {
    webhook_key = { secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:webhook-*" }
  }
  expect_failures = [var.webhook_key]
}

run "a_token_that_names_more_than_one_secret_is_refused" {
  command = plan

  variables {
    hugging_face_token = { secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:*" }
  }

  expect_failures = [var.hugging_face_token]
}
