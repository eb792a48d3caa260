# Commands that run to their end: `sluice load`, `sluice monitor`, dbt. Each is a Cloud Run job; Cloud Scheduler starts
# those that have a schedule. Every one of them can be run twice without harm, so a failed run is simply tried again.

resource "google_cloud_run_v2_job" "this" {
  for_each = var.jobs

  project             = var.project_id
  location            = var.region
  name                = each.key
  labels              = var.labels
  deletion_protection = false # a job holds nothing

  template {
    labels = var.labels

    template {
      service_account = each.value.service_account
      timeout         = "${each.value.timeout_seconds}s"
      max_retries     = each.value.max_retries
      encryption_key  = var.kms_key

      containers {
        image   = each.value.image
        command = each.value.command
        args    = each.value.args

        resources {
          limits = {
            cpu    = each.value.cpu
            memory = each.value.memory
          }
        }

        dynamic "env" {
          for_each = each.value.env
          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "env" {
          for_each = each.value.secrets
          content {
            name = env.key
            value_source {
              secret_key_ref {
                secret  = env.value
                version = "latest"
              }
            }
          }
        }
      }

      dynamic "vpc_access" {
        for_each = var.subnetwork == null ? [] : [var.subnetwork]
        content {
          egress = "ALL_TRAFFIC"
          network_interfaces {
            subnetwork = vpc_access.value
          }
        }
      }
    }
  }
}

# Only the scheduler's account may start a job, and only those with a schedule.
resource "google_cloud_run_v2_job_iam_member" "scheduler" {
  for_each = local.scheduled

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_job.this[each.key].name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${var.scheduler_service_account}"
}

resource "google_cloud_scheduler_job" "this" {
  for_each = local.scheduled

  project          = var.project_id
  region           = var.region
  name             = each.key
  description      = "Starts the Cloud Run job ${each.key}."
  schedule         = each.value.schedule
  time_zone        = each.value.time_zone
  paused           = each.value.paused
  attempt_deadline = "180s"

  retry_config {
    retry_count = 3
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project_id}/locations/${var.region}/jobs/${google_cloud_run_v2_job.this[each.key].name}:run"

    oauth_token {
      service_account_email = var.scheduler_service_account
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  # The first start would fail without the right to it.
  depends_on = [google_cloud_run_v2_job_iam_member.scheduler]
}

locals {
  scheduled = { for name, job in var.jobs : name => job if job.schedule != null }
}
