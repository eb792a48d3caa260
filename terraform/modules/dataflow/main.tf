locals {
  temp_location    = "${trimsuffix(var.temp_url, "/")}/temp"
  staging_location = "${trimsuffix(var.temp_url, "/")}/staging"
  subnetwork       = var.subnetwork == null ? "regions/${var.region}/subnetworks/${one(google_compute_subnetwork.this[*].name)}" : var.subnetwork
}

resource "google_dataflow_flex_template_job" "this" {
  provider = google-beta
  for_each = var.jobs

  project                 = var.project_id
  region                  = var.region
  name                    = each.key
  labels                  = var.labels
  container_spec_gcs_path = each.value.template
  sdk_container_image     = each.value.image
  parameters              = each.value.parameters

  service_account_email  = var.service_account
  temp_location          = local.temp_location
  staging_location       = local.staging_location
  subnetwork             = local.subnetwork
  kms_key_name           = var.kms_key
  ip_configuration       = "WORKER_IP_PRIVATE"
  machine_type           = each.value.machine_type
  num_workers            = each.value.num_workers
  max_workers            = each.value.max_workers
  autoscaling_algorithm  = "THROUGHPUT_BASED"
  additional_experiments = each.value.experiments
  transform_name_mapping = each.value.transform_name_mapping

  enable_streaming_engine = true

  # Draining finishes what was read; cancelling leaves it to the subscription.
  on_delete = each.value.on_delete
}

resource "google_cloud_scheduler_job" "replays" {
  for_each = var.replays

  project          = var.project_id
  region           = var.region
  name             = each.key
  description      = "Starts the Dataflow job ${each.key}."
  schedule         = each.value.schedule
  time_zone        = each.value.time_zone
  paused           = each.value.paused
  attempt_deadline = "180s"

  retry_config {
    retry_count = 3
  }

  http_target {
    http_method = "POST"
    uri         = "https://dataflow.googleapis.com/v1b3/projects/${var.project_id}/locations/${var.region}/flexTemplates:launch"
    headers     = { "Content-Type" = "application/json" }

    body = base64encode(jsonencode({
      launchParameter = {
        jobName              = each.key
        containerSpecGcsPath = each.value.template
        parameters           = each.value.parameters
        environment = merge(var.kms_key == null ? {} : { kmsKeyName = var.kms_key }, {
          additionalUserLabels = var.labels
          ipConfiguration      = "WORKER_IP_PRIVATE"
          machineType          = each.value.machine_type
          maxWorkers           = each.value.max_workers
          sdkContainerImage    = each.value.image
          serviceAccountEmail  = var.service_account
          stagingLocation      = local.staging_location
          subnetwork           = local.subnetwork
          tempLocation         = local.temp_location
        })
      }
    }))

    oauth_token {
      service_account_email = var.scheduler_service_account
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  lifecycle {
    precondition {
      condition     = var.scheduler_service_account != null
      error_message = "Replay ${each.key}: expected scheduler_service_account, got null."
    }
  }
}
