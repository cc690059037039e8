module "names" {
  source = "../names"
  place  = var.place
}

resource "aws_scheduler_schedule" "sweep" {
  name                = module.names.schedule
  group_name          = local.group
  description         = "Wakes the scheduler of environment ${var.place.env} for a sweep"
  schedule_expression = var.every_minutes == 1 ? "rate(1 minute)" : "rate(${var.every_minutes} minutes)"
  state               = "ENABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = var.scheduler_queue_arn
    role_arn = module.names.roles["sweep"].arn
    input    = "{\"v\":2,\"step\":\"sweep\"}" # a wake-up as quarry_core.contract.messages reads it

    # Tried until the next one is due, which does the same work.
    retry_policy {
      maximum_event_age_in_seconds = var.every_minutes * 60
      maximum_retry_attempts       = 5
    }
  }

  # EventBridge Scheduler proves the role when the schedule is made: it must be able to send by then.
  depends_on = [aws_iam_role_policy.access]
}
