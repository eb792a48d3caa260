mock_provider "google" {}

variables {
  project_id    = "shop-prod-1"
  loader        = "sluice-pipeline@shop-prod-1.iam.gserviceaccount.com"
  subscriptions = ["backend-events-topic-sub", "prism-sub"]
  forwarding    = ["prism-sub"]
  emails        = { oncall = "oncall@example.com" }
  slack_channel = "#data"
  slack_token   = "not-a-real-token"
  thresholds    = { system_lag = 60 }
}

run "alerts" {
  command = apply

  module {
    source = "./modules/monitoring"
  }

  assert {
    condition = keys(output.policies) == [
      "backlog_age", "data_freshness", "dead_letter_ratio", "failed_loads", "job_failed", "system_lag", "unbalanced", "undeliverable",
    ]
    error_message = "Policies: ${join(", ", keys(output.policies))}"
  }

  assert {
    condition     = google_monitoring_alert_policy.thresholds["system_lag"].conditions[0].condition_threshold[0].threshold_value == 60
    error_message = "system_lag: expected 60 s."
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.thresholds["backlog_age"].conditions[0].condition_threshold[0].filter, "one_of(\"backend-events-topic-sub\", \"prism-sub\")")
    error_message = google_monitoring_alert_policy.thresholds["backlog_age"].conditions[0].condition_threshold[0].filter
  }

  assert {
    condition = strcontains(
      google_monitoring_alert_policy.queries["dead_letter_ratio"].conditions[0].condition_prometheus_query_language[0].query,
      "job_name=~\"sluice-.*\", metric_name=~\"rejected[.].+\", metric_name!=\"rejected.dead_letter\"",
    )
    error_message = google_monitoring_alert_policy.queries["dead_letter_ratio"].conditions[0].condition_prometheus_query_language[0].query
  }

  assert {
    condition     = google_monitoring_alert_policy.queries["failed_loads"].conditions[0].condition_prometheus_query_language[0].query == "sum(increase(logging_googleapis_com:user_sluice_failed_loads{monitored_resource=\"bigquery_project\"}[10m])) > 5"
    error_message = google_monitoring_alert_policy.queries["failed_loads"].conditions[0].condition_prometheus_query_language[0].query
  }

  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.queries : policy.conditions[0].condition_prometheus_query_language[0].disable_metric_validation])
    error_message = "Expected policies on metrics that do not exist yet."
  }

  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.thresholds : length(policy.notification_channels) == 2])
    error_message = "Expected every alert to go to both channels."
  }

  assert {
    condition     = google_monitoring_notification_channel.slack[0].sensitive_labels[0].auth_token_wo == null && google_monitoring_notification_channel.slack[0].sensitive_labels[0].auth_token == null
    error_message = "Expected that the token of Slack is not kept."
  }

  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles) == 7
    error_message = "Expected seven charts."
  }
}

run "nobody_to_tell" {
  command = apply

  module {
    source = "./modules/monitoring"
  }

  variables {
    emails        = {}
    slack_channel = null
    subscriptions = []
    forwarding    = []
  }

  assert {
    condition     = length(google_monitoring_notification_channel.email) == 0 && length(google_monitoring_notification_channel.slack) == 0
    error_message = "Expected no channels."
  }

  assert {
    condition     = !contains(keys(output.policies), "backlog_age")
    error_message = "Expected no alert on backlogs without subscriptions."
  }
}

run "a_ratio_in_percent" {
  command = plan

  module {
    source = "./modules/monitoring"
  }

  variables {
    thresholds = { dead_letter_ratio = 5 }
  }

  expect_failures = [var.thresholds]
}
