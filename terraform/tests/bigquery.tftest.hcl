mock_provider "google" {}

variables {
  project_id = "shop-prod-1"
  dataset_id = "backend_events"
  location   = "europe-west1"
  labels     = { app = "sluice" }
  tables = {
    order_events  = jsondecode(file("../ddl/bigquery/order_events.json"))
    dead_letters  = jsondecode(file("../ddl/bigquery/dead_letters.json"))
    _segments     = jsondecode(file("../ddl/bigquery/_segments.json"))
    unpartitioned = { schema = { fields = [{ name = "n", type = "INTEGER", mode = "REQUIRED" }] } }
  }
  partition_expiration_days = { dead_letters = 365 }
  views                     = { orders = { query = "SELECT 1 AS n" } }
  authorized_by             = { other = "other_dataset" }
  iam                       = { "roles/bigquery.dataViewer" = { dbt = "serviceAccount:dbt@shop-prod-1.iam.gserviceaccount.com" } }
  table_iam                 = { _segments = { "roles/bigquery.dataViewer" = { deployer = "serviceAccount:d@shop-prod-1.iam.gserviceaccount.com" } } }
}

run "dataset" {
  command = apply

  module {
    source = "./modules/bigquery"
  }

  assert {
    condition = (
      google_bigquery_dataset.this.max_time_travel_hours == "168" &&
      google_bigquery_dataset.this.location == "europe-west1" &&
      google_bigquery_dataset.this.delete_contents_on_destroy == false
    )
    error_message = "Expected seven days of time travel, in europe-west1, and contents that survive."
  }

  assert {
    condition = (
      google_bigquery_table.this["order_events"].time_partitioning[0].type == "DAY" &&
      google_bigquery_table.this["order_events"].time_partitioning[0].field == "order_date" &&
      google_bigquery_table.this["order_events"].clustering == tolist(["customer_id", "status"]) &&
      google_bigquery_table.this["order_events"].require_partition_filter == true &&
      google_bigquery_table.this["order_events"].deletion_protection == true
    )
    error_message = "order_events: expected days of order_date, clusters by customer_id and status, and a required filter."
  }

  assert {
    condition     = jsondecode(google_bigquery_table.this["order_events"].schema) == var.tables.order_events.schema.fields
    error_message = "order_events: expected the generated columns."
  }

  assert {
    condition = google_bigquery_table.this["order_events"].labels == tomap({
      app = "sluice", generated_by = "sluice", contract = "order", contract_version = "1_0_0", domain = "backend_events"
    })
    error_message = "order_events: labels ${jsonencode(google_bigquery_table.this["order_events"].labels)}"
  }

  assert {
    condition     = google_bigquery_table.this["dead_letters"].time_partitioning[0].expiration_ms == 31536000000
    error_message = "dead_letters: expected partitions that end after a year."
  }

  assert {
    condition     = google_bigquery_table.this["_segments"].require_partition_filter == false
    error_message = "_segments: expected no required filter."
  }

  assert {
    condition     = length(google_bigquery_table.this["unpartitioned"].time_partitioning) == 0
    error_message = "unpartitioned: expected no partitions."
  }

  assert {
    condition = (
      length(google_bigquery_table_iam_member.this) == 1 &&
      google_bigquery_table_iam_member.this["_segments roles/bigquery.dataViewer deployer"].table_id == "_segments" &&
      google_bigquery_table_iam_member.this["_segments roles/bigquery.dataViewer deployer"].member == "serviceAccount:d@shop-prod-1.iam.gserviceaccount.com"
    )
    error_message = "Expected the deployer to read _segments alone."
  }

  assert {
    condition = (
      google_bigquery_dataset_access.views["other orders"].dataset_id == "other_dataset" &&
      google_bigquery_dataset_access.views["other orders"].view[0].table_id == "orders"
    )
    error_message = "Expected the view orders to be authorised in other_dataset."
  }

  assert {
    condition     = google_bigquery_dataset_iam_member.this["roles/bigquery.dataViewer dbt"].member == "serviceAccount:dbt@shop-prod-1.iam.gserviceaccount.com"
    error_message = "Expected dbt to read."
  }

  assert {
    condition     = output.url == "bigquery://shop-prod-1/backend_events"
    error_message = output.url
  }
}

run "a_cluster_that_is_no_column" {
  command = plan

  module {
    source = "./modules/bigquery"
  }

  variables {
    tables = { t = { schema = { fields = [{ name = "n", type = "INTEGER", mode = "REQUIRED" }] }, clustering = { fields = ["m"] } } }
  }

  expect_failures = [google_bigquery_table.this]
}

run "an_owner" {
  command = plan

  module {
    source = "./modules/bigquery"
  }

  variables {
    iam = { "roles/bigquery.dataOwner" = { a = "user:a@example.com" }, "roles/bigquery.admin" = { a = "user:a@example.com" } }
  }

  expect_failures = [var.iam]
}

run "a_time_travel_that_bigquery_has_not" {
  command = plan

  module {
    source = "./modules/bigquery"
  }

  variables {
    time_travel_hours = 24
  }

  expect_failures = [var.time_travel_hours]
}

run "access_to_a_table_that_is_not_there" {
  command = plan

  module {
    source = "./modules/bigquery"
  }

  variables {
    table_iam = { canary_events = { "roles/bigquery.dataViewer" = { deployer = "serviceAccount:d@shop-prod-1.iam.gserviceaccount.com" } } }
  }

  expect_failures = [var.table_iam]
}
