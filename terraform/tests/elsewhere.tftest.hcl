# Another project, region, dataset, topic and bucket work by variables alone.

mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      name   = "projects/other-project/serviceAccounts/mocked@other-project.iam.gserviceaccount.com"
      email  = "mocked@other-project.iam.gserviceaccount.com"
      member = "serviceAccount:mocked@other-project.iam.gserviceaccount.com"
    }
  }
}

mock_provider "google-beta" {
  mock_resource "google_project_service_identity" {
    defaults = {
      email  = "service-2@gcp-sa-pubsub.iam.gserviceaccount.com"
      member = "serviceAccount:service-2@gcp-sa-pubsub.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id = "other-project"
  region     = "us-east4"
  location   = "US"
  name       = "events"
  topics     = { clicks = { subscriptions = { clicks-sub = {} } } }
  datasets = {
    shop      = { domains = ["backend_events"] }
    reporting = { tables = ["reporting_metrics"], editors = ["dbt"], readers = ["analysts"] }
  }
  members     = { analysts = "group:analysts@example.com", security = "group:security@example.com" }
  query_users = ["analysts"]
  buckets = {
    log        = { name = "my-own-log", retention_days = 30 }
    quarantine = { readers = ["security"] }
  }
  alerts            = { emails = { oncall = "oncall@example.com" }, slack_channel = "#data" }
  slack_token       = "not-a-real-token"
  github_repository = "acme/events"
  jobs = {
    events-live = {
      template   = "gs://other-project-events-temp/templates/1.json"
      image      = "us-east4-docker.pkg.dev/other-project/events/sluice:1"
      parameters = { source = "pubsub://projects/other-project/subscriptions/clicks-sub" }
    }
  }
  replays = {
    events-nightly = {
      template   = "gs://other-project-events-temp/templates/1.json"
      image      = "us-east4-docker.pkg.dev/other-project/events/sluice:1"
      parameters = { source = "gs://other-project-events-raw/history/*" }
      schedule   = "0 3 * * *"
    }
  }
  cloud_run_jobs = {
    events-load = {
      version  = "1"
      args     = ["load", "jobs/backend_events.yaml", "--files=gs://my-own-log/output"]
      schedule = "0 4 * * *"
    }
    events-dbt = { target = "dbt", version = "1", args = ["build"], account = "dbt" }
  }
}

run "elsewhere" {
  command = apply

  assert {
    condition     = keys(output.topics) == ["clicks", "clicks-dead-letters"]
    error_message = "Topics: ${join(", ", keys(output.topics))}"
  }

  assert {
    condition = output.warehouses == {
      shop      = "bigquery://other-project/shop"
      reporting = "bigquery://other-project/reporting"
    }
    error_message = "Warehouses: ${jsonencode(output.warehouses)}"
  }

  assert {
    condition     = output.tables["reporting"] == { reporting_metrics = "other-project.reporting.reporting_metrics" }
    error_message = "Tables of reporting: ${jsonencode(output.tables["reporting"])}"
  }

  assert {
    condition     = output.buckets["log"] == "gs://my-own-log" && output.buckets["raw"] == "gs://other-project-events-raw"
    error_message = "Buckets: ${jsonencode(output.buckets)}"
  }

  assert {
    condition     = strcontains(output.deploy, "REPOSITORY=us-east4-docker.pkg.dev/other-project/events\n")
    error_message = "Deploy: ${output.deploy}"
  }

  assert {
    condition     = !strcontains(output.deploy, "europe-west1") && !strcontains(output.deploy, "backend")
    error_message = "Deploy: ${output.deploy}"
  }
}

run "a_key_of_an_account" {
  command = plan

  variables {
    members = { pipeline = "group:somebody@example.com" }
  }

  expect_failures = [var.members]
}

run "a_project_number" {
  command = plan

  variables {
    project_id = "123456789012"
  }

  expect_failures = [var.project_id]
}

run "a_job_of_nobody" {
  command = plan

  variables {
    cloud_run_jobs = { j = { version = "1", args = ["load"], account = "root" } }
  }

  expect_failures = [var.cloud_run_jobs]
}
