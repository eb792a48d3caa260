mock_provider "google" {}

variables {
  project_id = "shop-prod-1"
  location   = "EU"
  buckets = {
    log = {
      name           = "shop-prod-1-log"
      retention_days = 7
      lifecycle      = [{ age = 90, class = "COLDLINE" }]
      iam            = { "roles/storage.objectCreator" = { pipeline = "serviceAccount:p@shop-prod-1.iam.gserviceaccount.com" } }
    }
    unreadable = {
      name    = "shop-prod-1-unreadable"
      private = true
      iam     = { "roles/storage.objectCreator" = { pipeline = "serviceAccount:p@shop-prod-1.iam.gserviceaccount.com" }, "roles/storage.objectViewer" = {} }
    }
    raw = { name = "shop-prod-1-raw", versioning = true, lifecycle = [{ age = 30 }] }
  }
}

run "buckets" {
  command = apply

  module {
    source = "./modules/storage"
  }

  assert {
    condition = alltrue([
      for bucket in google_storage_bucket.this :
      bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced" && !bucket.force_destroy && bucket.location == "EU"
    ])
    error_message = "Expected buckets without object ACLs, public access and forced destruction."
  }

  assert {
    condition = (
      google_storage_bucket.this["log"].retention_policy[0].retention_period == "604800" &&
      google_storage_bucket.this["log"].soft_delete_policy[0].retention_duration_seconds == 604800 &&
      !google_storage_bucket.this["log"].versioning[0].enabled
    )
    error_message = "log: expected seven days of retention and of soft deletion."
  }

  assert {
    condition     = length(google_storage_bucket.this["raw"].retention_policy) == 0 && google_storage_bucket.this["raw"].versioning[0].enabled
    error_message = "raw: expected versions and no retention."
  }

  assert {
    condition = (
      tolist(google_storage_bucket.this["log"].lifecycle_rule)[0].action != null &&
      contains([for rule in google_storage_bucket.this["log"].lifecycle_rule : one(rule.action).type], "SetStorageClass") &&
      contains([for rule in google_storage_bucket.this["raw"].lifecycle_rule : one(rule.action).type], "Delete")
    )
    error_message = "Expected log to grow cold, and raw to end."
  }

  assert {
    condition     = google_storage_bucket_iam_member.this["log roles/storage.objectCreator pipeline"].member == "serviceAccount:p@shop-prod-1.iam.gserviceaccount.com"
    error_message = "Expected the pipeline to create objects of the log."
  }

  assert {
    condition = jsondecode(google_storage_bucket_iam_policy.private["unreadable"].policy_data).bindings == [
      { role = "roles/storage.legacyBucketOwner", members = ["projectOwner:shop-prod-1"] },
      { role = "roles/storage.objectCreator", members = ["serviceAccount:p@shop-prod-1.iam.gserviceaccount.com"] },
    ]
    error_message = google_storage_bucket_iam_policy.private["unreadable"].policy_data
  }

  assert {
    condition     = keys(google_storage_bucket_iam_member.this) == ["log roles/storage.objectCreator pipeline"]
    error_message = "Expected single grants of buckets that are not private alone."
  }

  assert {
    condition     = output.urls == { log = "gs://shop-prod-1-log", raw = "gs://shop-prod-1-raw", unreadable = "gs://shop-prod-1-unreadable" }
    error_message = jsonencode(output.urls)
  }
}

run "retention_and_versions" {
  command = plan

  module {
    source = "./modules/storage"
  }

  variables {
    buckets = { log = { name = "shop-prod-1-log", retention_days = 7, versioning = true } }
  }

  expect_failures = [var.buckets]
}

run "a_name_in_capitals" {
  command = plan

  module {
    source = "./modules/storage"
  }

  variables {
    buckets = { log = { name = "Log" } }
  }

  expect_failures = [var.buckets]
}
