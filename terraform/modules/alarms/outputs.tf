output "alarm_names" {
  description = "Names of all alarms, sorted."
  value       = sort(concat(keys(local.dead_letters), [for alarm in aws_cloudwatch_metric_alarm.oldest_message : alarm.alarm_name]))
}
