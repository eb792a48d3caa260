locals {
  dataflow     = "resource.type = \"dataflow_job\" AND resource.labels.job_name = monitoring.regex.full_match(\"${var.jobs}\")"
  subscription = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = one_of(${join(", ", [for name in var.subscriptions : "\"${name}\""])})"

  # The job counts in Beam what its ledger balances: `read`, and the other figures as figure.event_type. Letters of the
  # dead-letter log are counted the same way; they are no events.
  counted = {
    for figure in ["read", "accepted", "duplicates", "rejected", "loaded", "load_rejected"] :
    figure => join("", [
      "dataflow_googleapis_com:job_user_counter{monitored_resource=\"dataflow_job\", job_name=~\"${var.jobs}\", ",
      figure == "read" ? "metric_name=\"read\"}" : "metric_name=~\"${figure}[.].+\", metric_name!=\"${figure}.dead_letter\"}",
    ])
  }
  # PromQL's name of logging.googleapis.com/user/<the log-based metric>.
  failed_loads = "logging_googleapis_com:user_${replace(google_logging_metric.failed_loads.name, "-", "_")}{monitored_resource=\"bigquery_project\"}"

  sums = { for figure, series in local.counted : figure => "(sum(${series}) or vector(0))" }

  thresholds = {
    system_lag = {
      title     = "System lag"
      severity  = "ERROR"
      filter    = "${local.dataflow} AND metric.type = \"dataflow.googleapis.com/job/system_lag\""
      threshold = var.thresholds.system_lag
      duration  = "300s"
      aligner   = "ALIGN_MAX"
      help      = "A step of the job waits this long for its work. Look for a step without progress, for errors in the job's logs, and at max_workers."
    }
    data_freshness = {
      title     = "Data freshness"
      severity  = "ERROR"
      filter    = "${local.dataflow} AND metric.type = \"dataflow.googleapis.com/job/data_watermark_age\""
      threshold = var.thresholds.data_freshness
      duration  = "300s"
      aligner   = "ALIGN_MAX"
      help      = "The newest complete minute is this old. Either the job is behind, or a publisher sends nothing."
    }
    job_failed = {
      title     = "Job failed"
      severity  = "CRITICAL"
      filter    = "${local.dataflow} AND metric.type = \"dataflow.googleapis.com/job/is_failed\""
      threshold = 0
      duration  = "0s"
      aligner   = "ALIGN_MAX"
      help      = "The job ended. Nothing is lost: what it had not stored is still in the subscription. Mend the cause and start it again."
    }
  }

  backlogs = {
    backlog_age = {
      title     = "Backlog age"
      severity  = "ERROR"
      filter    = "${local.subscription} AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      threshold = var.thresholds.backlog_age
      duration  = "300s"
      aligner   = "ALIGN_MAX"
      help      = "The oldest message that is not stored waits this long. The subscription keeps messages for its retention, and no longer."
    }
  }

  forwarded = {
    undeliverable = {
      title     = "Undeliverable messages"
      severity  = "WARNING"
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = one_of(${join(", ", [for name in var.forwarding : "\"${name}\""])}) AND metric.type = \"pubsub.googleapis.com/subscription/dead_letter_message_count\""
      threshold = 0
      duration  = "0s"
      aligner   = "ALIGN_DELTA"
      help      = "Pub/Sub gave up on messages and put them on the dead-letter topic. Workers fail on them before they can reject them; a job whose source is the subscription of that topic reads them again."
    }
  }

  queries = {
    dead_letter_ratio = {
      title    = "Dead-letter rate"
      severity = "WARNING"
      query    = "sum by (job_name) (delta(${local.counted.rejected}[10m])) / clamp_min(sum by (job_name) (delta(${local.counted.read}[10m])), 1) > ${var.thresholds.dead_letter_ratio}"
      duration = "300s"
      help     = "Too many records break their contract. Ask dead_letters by code and event_type which producer has changed."
    }
    unbalanced = {
      title    = "Unbalanced ledger"
      severity = "CRITICAL"
      query = join(" or ", [
        "min_over_time(abs(${local.sums.read} - ${local.sums.accepted} - ${local.sums.duplicates} - ${local.sums.rejected})[1h:1m]) > ${var.thresholds.unbalanced_records}",
        "min_over_time(abs(${local.sums.accepted} - ${local.sums.loaded} - ${local.sums.load_rejected})[1h:1m]) > ${var.thresholds.unbalanced_records}",
      ])
      duration = "0s"
      help     = "read = accepted + duplicates + rejected, and accepted = loaded + load_rejected, did not hold at any moment of an hour. Load the log anew and compare."
    }
    failed_loads = {
      title    = "Failed loads"
      severity = "ERROR"
      query    = "sum(increase(${local.failed_loads}[10m])) > ${var.thresholds.failed_loads}"
      duration = "0s"
      help     = "BigQuery refuses loads. The files are the log and are complete; sluice load brings the tables up to it."
    }
  }
}

resource "google_logging_metric" "failed_loads" {
  project     = var.project_id
  name        = "${var.name}_failed_loads"
  description = "Load jobs of the pipeline that BigQuery ended with an error."

  filter = join(" AND ", [
    "protoPayload.serviceName=\"bigquery.googleapis.com\"",
    "protoPayload.authenticationInfo.principalEmail=\"${var.loader}\"",
    "protoPayload.metadata.jobChange.after=\"DONE\"",
    "protoPayload.metadata.jobChange.job.jobConfig.type=\"IMPORT\"",
    "protoPayload.metadata.jobChange.job.jobStatus.errorResult.code>0",
  ])

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

resource "google_monitoring_alert_policy" "thresholds" {
  for_each = merge(
    local.thresholds,
    length(var.subscriptions) > 0 ? local.backlogs : {},
    length(var.forwarding) > 0 ? local.forwarded : {},
  )

  project               = var.project_id
  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "${each.value.title} above ${each.value.threshold}"

    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = each.value.duration

      aggregations {
        alignment_period   = each.value.aligner == "ALIGN_DELTA" ? "600s" : "60s"
        per_series_aligner = each.value.aligner
      }
    }
  }

  documentation {
    content   = each.value.help
    mime_type = "text/markdown"
  }

  alert_strategy {
    auto_close = "86400s"
  }
}

resource "google_monitoring_alert_policy" "queries" {
  for_each = local.queries

  project               = var.project_id
  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = each.value.title

    condition_prometheus_query_language {
      # A metric exists some minutes after it was defined, or when the first job runs; a check would fail the first apply.
      disable_metric_validation = true

      query               = each.value.query
      duration            = each.value.duration
      evaluation_interval = "60s"
    }
  }

  documentation {
    content   = each.value.help
    mime_type = "text/markdown"
  }

  alert_strategy {
    auto_close = "86400s"
  }
}
