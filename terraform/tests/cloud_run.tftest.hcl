mock_provider "google" {}

variables {
  project_id                = "shop-prod-1"
  region                    = "europe-west1"
  scheduler_service_account = "sluice-scheduler@shop-prod-1.iam.gserviceaccount.com"
  jobs = {
    sluice-load = {
      image           = "europe-west1-docker.pkg.dev/shop-prod-1/sluice/sluice-cli:1"
      service_account = "sluice-pipeline@shop-prod-1.iam.gserviceaccount.com"
      args            = ["load", "jobs/backend_events.yaml"]
      env             = { PROJECT = "shop-prod-1" }
    }
    sluice-monitor = {
      image           = "europe-west1-docker.pkg.dev/shop-prod-1/sluice/sluice-cli:1"
      service_account = "sluice-pipeline@shop-prod-1.iam.gserviceaccount.com"
      args            = ["monitor", "monitors/backend_events.yaml"]
      secrets         = { SLACK_TOKEN = "slack-token" }
      schedule        = "0 6 * * *"
    }
  }
}

run "jobs" {
  command = apply

  module {
    source = "./modules/cloud_run"
  }

  assert {
    condition = (
      google_cloud_run_v2_job.this["sluice-load"].template[0].template[0].containers[0].args == tolist(["load", "jobs/backend_events.yaml"]) &&
      google_cloud_run_v2_job.this["sluice-load"].template[0].template[0].containers[0].resources[0].limits == tomap({ cpu = "1", memory = "2Gi" }) &&
      google_cloud_run_v2_job.this["sluice-load"].template[0].template[0].service_account == "sluice-pipeline@shop-prod-1.iam.gserviceaccount.com" &&
      google_cloud_run_v2_job.this["sluice-load"].template[0].template[0].timeout == "3600s"
    )
    error_message = "sluice-load: expected its arguments, 1 CPU, 2 GiB, an hour, and the pipeline's account."
  }

  assert {
    condition     = google_cloud_run_v2_job.this["sluice-load"].template[0].template[0].containers[0].env[0].value == "shop-prod-1"
    error_message = "sluice-load: expected PROJECT."
  }

  assert {
    condition = (
      google_cloud_run_v2_job.this["sluice-monitor"].template[0].template[0].containers[0].env[0].name == "SLACK_TOKEN" &&
      google_cloud_run_v2_job.this["sluice-monitor"].template[0].template[0].containers[0].env[0].value_source[0].secret_key_ref[0].secret == "slack-token"
    )
    error_message = "sluice-monitor: expected the token to come from Secret Manager."
  }

  assert {
    condition     = keys(google_cloud_scheduler_job.this) == ["sluice-monitor"] && keys(google_cloud_run_v2_job_iam_member.scheduler) == ["sluice-monitor"]
    error_message = "Expected a schedule, and the right to start it, for sluice-monitor alone."
  }

  assert {
    condition     = google_cloud_scheduler_job.this["sluice-monitor"].http_target[0].uri == "https://run.googleapis.com/v2/projects/shop-prod-1/locations/europe-west1/jobs/sluice-monitor:run"
    error_message = google_cloud_scheduler_job.this["sluice-monitor"].http_target[0].uri
  }

  assert {
    condition     = length(google_cloud_run_v2_job.this["sluice-load"].template[0].template[0].vpc_access) == 0
    error_message = "Expected Google's own network."
  }
}

run "a_subnetwork" {
  command = apply

  module {
    source = "./modules/cloud_run"
  }

  variables {
    subnetwork = "regions/europe-west1/subnetworks/mine"
  }

  assert {
    condition     = google_cloud_run_v2_job.this["sluice-load"].template[0].template[0].vpc_access[0].network_interfaces[0].subnetwork == "regions/europe-west1/subnetworks/mine"
    error_message = "Expected all traffic to go through the subnetwork."
  }
}

run "a_schedule_that_nobody_keeps" {
  command = plan

  module {
    source = "./modules/cloud_run"
  }

  variables {
    scheduler_service_account = null
  }

  expect_failures = [var.scheduler_service_account]
}

run "a_schedule_in_words" {
  command = plan

  module {
    source = "./modules/cloud_run"
  }

  variables {
    jobs = { j = { image = "i", service_account = "a@b", schedule = "daily" } }
  }

  expect_failures = [var.jobs]
}

run "a_value_that_is_a_secret_too" {
  command = plan

  module {
    source = "./modules/cloud_run"
  }

  variables {
    jobs = { j = { image = "i", service_account = "a@b", env = { A = "1" }, secrets = { A = "s" } } }
  }

  expect_failures = [var.jobs]
}
