output "policies" {
  description = "Alert policies: what they watch => their name."
  value = merge(
    { for key, policy in google_monitoring_alert_policy.thresholds : key => policy.name },
    { for key, policy in google_monitoring_alert_policy.queries : key => policy.name },
  )
}

output "dashboard" {
  description = "Name of the dashboard."
  value       = google_monitoring_dashboard.this.id
}
