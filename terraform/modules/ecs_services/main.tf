# Three services of one shape. What differs stands in one table; Fargate runs them without a machine to look after.

locals {
  prefix       = "${var.place.env}-quarry"
  metrics_port = 9090
  user_id      = 10001

  # Which queues a service reads, and so whose backlog is its own (docs/operations.md).
  queues = {
    preprocessor = ["manifests", "slices"]
    scheduler    = ["scheduler", "events", "on-demand"]
    collector    = ["collector"]
  }

  # Peak memory as measured is 270 MB, 106 MB and 350 MB (benchmarks/memory_of_services.py); the spool of one shard takes
  # up to 16 GiB of disk.
  defaults = {
    preprocessor = { cpu_units = 512, memory_mib = 1024, storage_gib = 20, tasks_min = 0, tasks_max = 4, backlog_per_task = 4 }
    scheduler    = { cpu_units = 256, memory_mib = 512, storage_gib = 20, tasks_min = 1, tasks_max = 2, backlog_per_task = 100 }
    collector    = { cpu_units = 512, memory_mib = 1024, storage_gib = 20, tasks_min = 0, tasks_max = 4, backlog_per_task = 4 }
  }
  # ECS reads a secret when a task starts. Only the preprocessor asks the Hub, and only the collector signs notices.
  held = {
    preprocessor = var.hugging_face_token == null ? [] : [{ name = "HF_TOKEN", valueFrom = var.hugging_face_token.secret_arn }]
    scheduler    = []
    collector    = var.webhook_key == null ? [] : [{ name = "QUARRY_WEBHOOK_KEY", valueFrom = var.webhook_key.secret_arn }]
  }
  secrets = { for service, held in local.held : service => { for key, value in { secrets = held } : key => value if length(value) > 0 } }
  services = {
    for service, usual in local.defaults : service => {
      for field, value in usual : field => try(coalesce(var.services[service][field], value), value)
    }
  }

  # What Fargate offers: CPU units to the least and most MiB, and the step between.
  sizes = {
    256  = { least = 512, most = 2048, step = 512 }
    512  = { least = 1024, most = 4096, step = 1024 }
    1024 = { least = 2048, most = 8192, step = 1024 }
    2048 = { least = 4096, most = 16384, step = 1024 }
    4096 = { least = 8192, most = 30720, step = 1024 }
  }
}

module "names" {
  source = "../names"
  place  = var.place
}

resource "aws_ecs_cluster" "this" {
  name = local.prefix

  # Autoscaling divides by the number of running tasks, which only Container Insights tells; without it nobody pays for it.
  setting {
    name  = "containerInsights"
    value = var.autoscaling == null ? "disabled" : "enabled"
  }
}

resource "aws_cloudwatch_log_group" "service" {
  for_each = local.services

  name              = "/ecs/${local.prefix}-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_task_definition" "service" {
  for_each = local.services

  family                   = "${local.prefix}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu_units
  memory                   = each.value.memory_mib
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = var.role_arns[each.key]

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  dynamic "ephemeral_storage" {
    for_each = each.value.storage_gib > 20 ? [each.value.storage_gib] : [] # 20 is what every task has; asking for it is an error

    content {
      size_in_gib = ephemeral_storage.value
    }
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode([merge(local.secrets[each.key], {
    name        = each.key
    image       = var.images[each.key]
    essential   = true
    user        = "${local.user_id}:${local.user_id}"
    environment = [for name in sort(keys(var.environment)) : { name = name, value = var.environment[name] }]

    readonlyRootFilesystem = true
    linuxParameters = {
      initProcessEnabled = true # process 1 reaps, and passes SIGTERM on
      capabilities       = { add = [], drop = ["ALL"] }
    }
    mountPoints  = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    portMappings = [{ containerPort = local.metrics_port, hostPort = local.metrics_port, protocol = "tcp" }]

    # The image has no curl. An answer other than 200 raises, and the check fails.
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:${local.metrics_port}/healthz', timeout=5)"]
      interval    = 30
      timeout     = 10
      retries     = 3
      startPeriod = 60
    }
    stopTimeout = var.stop_timeout_s

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.service[each.key].name
        awslogs-region        = var.place.region
        awslogs-stream-prefix = each.key
        mode                  = "non-blocking" # a log that cannot be delivered must not stop the work
        max-buffer-size       = "4m"
      }
    }
  })])

  lifecycle {
    precondition {
      condition = try(
        each.value.memory_mib >= local.sizes[each.value.cpu_units].least
        && each.value.memory_mib <= local.sizes[each.value.cpu_units].most
        && each.value.memory_mib % local.sizes[each.value.cpu_units].step == 0,
        false,
      )
      error_message = "services.${each.key}: Fargate has no task of ${each.value.cpu_units} CPU units and ${each.value.memory_mib} MiB. Write 256 with 512, 1024 or 2048; 512 with 1024 to 4096; 1024 with 2048 to 8192; 2048 with 4096 to 16384; 4096 with 8192 to 30720."
    }
    precondition {
      condition     = each.value.storage_gib >= 20 && each.value.storage_gib <= 200
      error_message = "services.${each.key}.storage_gib must be from 20 to 200: Fargate gives a task at least 20 GiB and at most 200."
    }
  }
}
