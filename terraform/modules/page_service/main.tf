# `quarry ui` as a Fargate service of one task, from the command's image. It stands behind nothing: who may reach it, and by which
# load balancer, is said by whoever asks for the module.

module "names" {
  source = "../names"
  place  = var.place
}

locals {
  prefix  = "${var.place.env}-quarry"
  port    = 8080
  user_id = 10001
  # Without a name the page would not open itself to others; a forwarded port comes as localhost.
  hosts = length(var.hosts) > 0 ? var.hosts : ["localhost"]

  environment = merge(
    var.environment,
    { QUARRY_UI_ALLOW_HOSTS = join(",", local.hosts) },
    var.dashboard_url == "" ? {} : { QUARRY_UI_DASHBOARD_URL = var.dashboard_url },
  )
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${local.prefix}-page"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${local.prefix}-page"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512 # measured peak memory is 189 MB (docs/ui.md)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = var.role_arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode([{
    name        = "page"
    image       = var.image
    essential   = true
    user        = "${local.user_id}:${local.user_id}"
    command     = concat(["ui", "--host", "0.0.0.0", "--port", tostring(local.port), "--no-open"], var.write ? ["--write"] : [])
    environment = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    # ECS reads it when the task starts; Terraform never does.
    secrets = [{ name = "QUARRY_UI_TOKEN", valueFrom = var.token.secret_arn }]

    readonlyRootFilesystem = true
    linuxParameters = {
      initProcessEnabled = true
      capabilities       = { add = [], drop = ["ALL"] }
    }
    mountPoints  = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    portMappings = [{ containerPort = local.port, hostPort = local.port, protocol = "tcp" }]

    # Straight to the process, whatever proxy the environment names. An answer other than 200 raises.
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:${local.port}/healthz', timeout=5)"]
      interval    = 30
      timeout     = 10
      retries     = 3
      startPeriod = 60
    }
    stopTimeout = 75 # an action takes a minute at most, and is waited for

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = var.place.region
        awslogs-stream-prefix = "page"
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
      }
    }
  }])
}

resource "aws_ecs_service" "this" {
  name            = "${local.prefix}-page"
  cluster         = var.cluster_arn
  task_definition = aws_ecs_task_definition.this.arn
  desired_count   = 1
  launch_type     = "FARGATE"

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  enable_execute_command             = false
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  health_check_grace_period_seconds  = var.target_group_arn == null ? null : 60

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id, aws_security_group.this.id]
    assign_public_ip = false
  }

  service_registries {
    registry_arn = aws_service_discovery_service.this.arn
  }

  dynamic "load_balancer" {
    for_each = var.target_group_arn == null ? [] : [var.target_group_arn]

    content {
      target_group_arn = load_balancer.value
      container_name   = "page"
      container_port   = local.port
    }
  }

  depends_on = [aws_iam_role_policy.execution]
}
