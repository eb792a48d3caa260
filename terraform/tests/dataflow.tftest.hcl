mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id                = "shop-prod-1"
  region                    = "europe-west1"
  service_account           = "sluice-pipeline@shop-prod-1.iam.gserviceaccount.com"
  scheduler_service_account = "sluice-scheduler@shop-prod-1.iam.gserviceaccount.com"
  temp_url                  = "gs://shop-prod-1-sluice-temp"
  jobs = {
    sluice-live = {
      template   = "gs://shop-prod-1-sluice-temp/templates/1.json"
      image      = "europe-west1-docker.pkg.dev/shop-prod-1/sluice/sluice:1"
      parameters = { source = "pubsub://projects/shop-prod-1/subscriptions/backend-events-topic-sub" }
    }
  }
  replays = {
    sluice-replay = {
      template   = "gs://shop-prod-1-sluice-temp/templates/1.json"
      image      = "europe-west1-docker.pkg.dev/shop-prod-1/sluice/sluice:1"
      parameters = { source = "gs://shop-prod-1-sluice-raw/history/*" }
      schedule   = "0 3 * * *"
    }
  }
}

run "jobs" {
  command = apply

  module {
    source = "./modules/dataflow"
  }

  assert {
    condition = (
      google_dataflow_flex_template_job.this["sluice-live"].enable_streaming_engine &&
      google_dataflow_flex_template_job.this["sluice-live"].ip_configuration == "WORKER_IP_PRIVATE" &&
      google_dataflow_flex_template_job.this["sluice-live"].on_delete == "drain" &&
      google_dataflow_flex_template_job.this["sluice-live"].max_workers == 10 &&
      google_dataflow_flex_template_job.this["sluice-live"].service_account_email == var.service_account &&
      google_dataflow_flex_template_job.this["sluice-live"].temp_location == "gs://shop-prod-1-sluice-temp/temp" &&
      google_dataflow_flex_template_job.this["sluice-live"].subnetwork == "regions/europe-west1/subnetworks/sluice"
    )
    error_message = "sluice-live: expected Streaming Engine, private addresses, draining and the pipeline's account."
  }

  assert {
    condition = jsondecode(base64decode(google_cloud_scheduler_job.replays["sluice-replay"].http_target[0].body)) == {
      launchParameter = {
        jobName              = "sluice-replay"
        containerSpecGcsPath = "gs://shop-prod-1-sluice-temp/templates/1.json"
        parameters           = { source = "gs://shop-prod-1-sluice-raw/history/*" }
        environment = {
          additionalUserLabels = {}
          ipConfiguration      = "WORKER_IP_PRIVATE"
          machineType          = "n2-standard-2"
          maxWorkers           = 10
          sdkContainerImage    = "europe-west1-docker.pkg.dev/shop-prod-1/sluice/sluice:1"
          serviceAccountEmail  = "sluice-pipeline@shop-prod-1.iam.gserviceaccount.com"
          stagingLocation      = "gs://shop-prod-1-sluice-temp/staging"
          subnetwork           = "regions/europe-west1/subnetworks/sluice"
          tempLocation         = "gs://shop-prod-1-sluice-temp/temp"
        }
      }
    }
    error_message = base64decode(google_cloud_scheduler_job.replays["sluice-replay"].http_target[0].body)
  }

  assert {
    condition     = google_compute_subnetwork.this[0].private_ip_google_access
    error_message = "Expected Private Google Access."
  }

  assert {
    condition     = output.repository == "europe-west1-docker.pkg.dev/shop-prod-1/sluice"
    error_message = output.repository
  }
}

run "an_existing_subnetwork" {
  command = apply

  module {
    source = "./modules/dataflow"
  }

  variables {
    subnetwork = "regions/europe-west1/subnetworks/mine"
  }

  assert {
    condition     = length(google_compute_network.this) == 0 && output.subnetwork == "regions/europe-west1/subnetworks/mine"
    error_message = "Expected no network of its own."
  }
}

run "more_workers_than_there_may_be" {
  command = plan

  module {
    source = "./modules/dataflow"
  }

  variables {
    jobs = { sluice-live = { template = "gs://b/t.json", image = "i", parameters = {}, num_workers = 11 } }
  }

  expect_failures = [var.jobs]
}

run "a_replay_that_nobody_starts" {
  command = plan

  module {
    source = "./modules/dataflow"
  }

  variables {
    scheduler_service_account = null
  }

  expect_failures = [google_cloud_scheduler_job.replays]
}
