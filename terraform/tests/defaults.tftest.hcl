# The whole root module with nothing but a project: what it makes, and who may do what.

mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      name   = "projects/shop-prod-1/serviceAccounts/mocked@shop-prod-1.iam.gserviceaccount.com"
      email  = "mocked@shop-prod-1.iam.gserviceaccount.com"
      member = "serviceAccount:mocked@shop-prod-1.iam.gserviceaccount.com"
    }
  }
}

mock_provider "google-beta" {
  mock_resource "google_project_service_identity" {
    defaults = {
      email  = "service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
      member = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id  = "shop-prod-1"
  slack_token = "unused" # terraform test applies only if an ephemeral variable has a value
}

run "names" {
  command = apply

  assert {
    condition     = keys(output.topics) == ["backend-events-topic"]
    error_message = "Topics: ${join(", ", keys(output.topics))}"
  }

  assert {
    condition     = keys(output.subscriptions) == ["backend-events-topic-sub"]
    error_message = "Subscriptions: ${join(", ", keys(output.subscriptions))}"
  }

  assert {
    condition = output.warehouses == {
      backend_events        = "bigquery://shop-prod-1/backend_events"
      backend_events_canary = "bigquery://shop-prod-1/backend_events_canary"
      ecommerce_data        = "bigquery://shop-prod-1/ecommerce_data"
    }
    error_message = "Warehouses: ${jsonencode(output.warehouses)}"
  }

  assert {
    condition = length(setsubtract(
      ["order_events", "inventory_events", "user_activity_events", "dead_letters", "_segments", "_event_counts"],
      keys(output.tables["backend_events"]),
    )) == 0
    error_message = "Tables of backend_events: ${join(", ", keys(output.tables["backend_events"]))}"
  }

  assert {
    condition     = length(setsubtract(["reporting_metrics", "dead_letters", "_segments"], keys(output.tables["ecommerce_data"]))) == 0
    error_message = "Tables of ecommerce_data: ${join(", ", keys(output.tables["ecommerce_data"]))}"
  }

  assert {
    condition = output.buckets == {
      log          = "gs://shop-prod-1-sluice-log"
      dead-letters = "gs://shop-prod-1-sluice-dead-letters"
      quarantine   = "gs://shop-prod-1-sluice-quarantine"
      raw          = "gs://shop-prod-1-sluice-raw"
      temp         = "gs://shop-prod-1-sluice-temp"
    }
    error_message = "Buckets: ${jsonencode(output.buckets)}"
  }

  assert {
    condition     = !can(regex("(?i)key=|token|password", replace(output.deploy, "PRIVACY_SECRET=sluice-privacy-key", "")))
    error_message = "Deploy: ${output.deploy}"
  }
}

run "accounts" {
  command = apply

  assert {
    condition     = keys(output.service_accounts) == ["dbt", "deployer", "pipeline", "publisher"]
    error_message = "Expected no account of a scheduler that starts nothing; got ${join(", ", keys(output.service_accounts))}."
  }
}
