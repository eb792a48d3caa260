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
  location   = "us-east4"
  kms_key    = "projects/keys/locations/us-east4/keyRings/data/cryptoKeys/sluice"
  budget     = { billing_account = "0AB12C-3DE45F-6789AB", amount = 500 }
  name       = "events"
  topics     = { clicks = { subscriptions = { clicks-sub = {}, prism-sub = { dataflow = false } } } }
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
      version      = "1"
      subscription = "clicks-sub"
      dataset      = "shop"
    }
  }
  replays = {
    events-nightly = {
      version   = "1"
      raw_files = "history/*"
      dataset   = "shop"
      schedule  = "0 3 * * *"
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
    condition = alltrue([for each in google_kms_crypto_key_iam_member.agents : each.crypto_key_id == var.kms_key]) && (
      sort([for each in google_kms_crypto_key_iam_member.agents : each.member])[0] == "serviceAccount:bq-2@bigquery-encryption.iam.gserviceaccount.com"
    )
    error_message = "Agents: ${jsonencode([for each in google_kms_crypto_key_iam_member.agents : each.member])}"
  }

  assert {
    condition     = google_billing_budget.this[0].amount[0].specified_amount[0].units == "500" && length(google_billing_budget.this[0].threshold_rules) == 3
    error_message = "Budget: ${jsonencode(google_billing_budget.this)}"
  }

  assert {
    condition     = strcontains(output.deploy, "CMEK=projects/keys/locations/us-east4/keyRings/data/cryptoKeys/sluice\n")
    error_message = "Deploy: ${output.deploy}"
  }

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
    condition = local.jobs["events-live"].parameters == {
      source       = "pubsub://projects/other-project/subscriptions/clicks-sub"
      files        = "gs://my-own-log/output"
      dead_letters = "gs://other-project-events-dead-letters/dead_letters"
      quarantine   = "gs://other-project-events-quarantine/quarantine"
      warehouse    = "bigquery://other-project/shop"
      privacy_key  = "projects/other-project/secrets/events-privacy-key"
    }
    error_message = "Parameters of events-live: ${jsonencode(local.jobs["events-live"].parameters)}"
  }

  assert {
    condition = (
      local.replays["events-nightly"].parameters.source == "gs://other-project-events-raw/history/*" &&
      local.replays["events-nightly"].template == "gs://other-project-events-temp/templates/1.json" &&
      local.replays["events-nightly"].image == "us-east4-docker.pkg.dev/other-project/events/sluice:1"
    )
    error_message = "events-nightly: ${jsonencode(local.replays["events-nightly"])}"
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

run "a_secret_that_is_not_made" {
  command = plan

  variables {
    cloud_run_jobs = { j = { version = "1", args = ["load"], secrets = { TOKEN = "slack-token" } } }
  }

  expect_failures = [var.cloud_run_jobs]
}

run "a_job_file_that_the_image_lacks" {
  command = plan

  variables {
    cloud_run_jobs = { j = { version = "1", args = ["load", "jobs/shop.yaml"] } }
  }

  expect_failures = [var.cloud_run_jobs]
}

run "a_domain_without_contracts" {
  command = plan

  variables {
    datasets = { d = { domains = ["shops"] } }
    jobs     = {}
    replays  = {}
  }

  expect_failures = [var.datasets]
}

run "a_table_of_nobody" {
  command = plan

  variables {
    datasets = { d = { tables = ["metrics"] } }
    jobs     = {}
    replays  = {}
  }

  expect_failures = [var.datasets]
}

run "a_reader_of_nothing" {
  command = plan

  variables {
    datasets = { shop = { domains = ["backend_events"], readers = ["analyst"] } }
  }

  expect_failures = [var.datasets]
}

run "a_shared_table_of_nobody" {
  command = plan

  variables {
    datasets = { shop = { domains = ["backend_events"], shared = { orders = [] } } }
  }

  expect_failures = [var.datasets]
}

run "a_hidden_column_that_is_misspelt" {
  command = plan

  variables {
    datasets = { shop = { domains = ["backend_events"], shared = { order_events = ["shiping_address"] } } }
  }

  expect_failures = [var.datasets]
}

run "a_publisher_of_nothing" {
  command = plan

  variables {
    topics = { clicks = { publishers = ["shop"], subscriptions = { clicks-sub = {} } } }
  }

  expect_failures = [var.topics]
}

run "a_schema_of_no_contract" {
  command = plan

  variables {
    topics = { clicks = { subscriptions = { clicks-sub = {} } }, orders = { schema = { contract = "backend_events/orders" } } }
  }

  expect_failures = [var.topics]
}

run "a_schema_where_a_job_reads" {
  command = plan

  variables {
    topics = { clicks = { schema = { contract = "backend_events/order" }, subscriptions = { clicks-sub = {} } } }
  }

  expect_failures = [var.topics]
}

run "a_schema_for_others" {
  command = plan

  variables {
    topics = {
      clicks = { subscriptions = { clicks-sub = {} } }
      orders = { schema = { contract = "backend_events/order" }, subscriptions = { analysts-sub = { dataflow = false, subscribers = ["analysts"] } } }
    }
  }

  assert {
    condition     = keys(local.schemas) == ["backend_events.order"] && jsondecode(local.schemas["backend_events.order"]).name == "order"
    error_message = "Schemas: ${jsonencode(local.schemas)}"
  }
}

run "a_user_of_nothing" {
  command = plan

  variables {
    query_users = ["analyst"]
  }

  expect_failures = [var.query_users]
}

run "a_writer_of_the_log" {
  command = plan

  variables {
    buckets = { log = { writers = ["analysts"] } }
  }

  expect_failures = [var.buckets]
}

run "a_reader_of_a_bucket" {
  command = plan

  variables {
    buckets = { raw = { readers = ["analyst"] } }
  }

  expect_failures = [var.buckets]
}

run "a_temp_bucket_that_expires" {
  command = plan

  variables {
    buckets = { temp = { expire_days = 14 } }
  }

  expect_failures = [var.buckets]
}

run "an_identity_of_nothing" {
  command = plan

  variables {
    workload_identities = { dtb = { gke = "principal://x" } }
  }

  expect_failures = [var.workload_identities]
}

run "a_job_without_a_subscription" {
  command = plan

  variables {
    jobs = { j = { version = "1", dataset = "shop" } }
  }

  expect_failures = [var.jobs]
}

run "a_job_of_another_subscription" {
  command = plan

  variables {
    jobs = { j = { version = "1", subscription = "click-sub", dataset = "shop" } }
  }

  expect_failures = [var.jobs]
}

run "a_job_of_another_dataset" {
  command = plan

  variables {
    jobs = { j = { version = "1", subscription = "clicks-sub", dataset = "shops" } }
  }

  expect_failures = [var.jobs]
}

run "a_job_file_that_no_image_has" {
  command = plan

  variables {
    jobs = { j = { version = "1", subscription = "clicks-sub", dataset = "shop", parameters = { job = "jobs/backend_event.yaml" } } }
  }

  expect_failures = [var.jobs]
}

run "a_replay_of_a_job_file_that_no_image_has" {
  command = plan

  variables {
    replays = { j = { version = "1", raw_files = "h/*", dataset = "shop", schedule = "0 3 * * *", parameters = { job = "backend_events.yaml" } } }
  }

  expect_failures = [var.replays]
}

run "job_files_of_the_image_and_of_a_bucket" {
  command = plan

  variables {
    jobs    = { j = { version = "1", subscription = "clicks-sub", dataset = "shop", parameters = { job = "gs://other-project-events-raw/release/job.yaml" } } }
    replays = { r = { version = "1", raw_files = "h/*", dataset = "shop", schedule = "0 3 * * *", parameters = { job = "jobs/backend_events.yaml" } } }
  }

  assert {
    condition     = local.jobs["j"].parameters.job == "gs://other-project-events-raw/release/job.yaml" && local.replays["r"].parameters.job == "jobs/backend_events.yaml"
    error_message = "Jobs: ${jsonencode(local.jobs)}, replays: ${jsonencode(local.replays)}"
  }
}

run "a_replay_of_another_dataset" {
  command = plan

  variables {
    replays = { j = { version = "1", raw_files = "h/*", dataset = "shops", schedule = "0 3 * * *" } }
  }

  expect_failures = [var.replays]
}

run "a_replay_of_no_files" {
  command = plan

  variables {
    replays = { j = { version = "1", dataset = "shop", schedule = "0 3 * * *" } }
  }

  expect_failures = [var.replays]
}

run "a_channel_without_a_token" {
  command = plan

  variables {
    slack_token = null
  }

  expect_failures = [var.slack_token]
}

run "key_elsewhere" {
  command = plan

  variables {
    kms_key = "projects/keys/locations/europe-west1/keyRings/data/cryptoKeys/sluice"
  }

  expect_failures = [var.kms_key]
}

run "key_of_a_region_for_a_multi_region" {
  command = plan

  variables {
    location = "US"
  }

  expect_failures = [var.kms_key]
}

run "budget_without_account" {
  command = plan

  variables {
    budget = { billing_account = "acme", amount = 500 }
  }

  expect_failures = [var.budget]
}
