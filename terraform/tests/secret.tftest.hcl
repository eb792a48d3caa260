mock_provider "google" {}

variables {
  project_id = "shop-prod-1"
  regions    = ["europe-west1"]
  secrets = {
    sluice-privacy-key = {
      iam = { "roles/secretmanager.secretAccessor" = { pipeline = "serviceAccount:p@shop-prod-1.iam.gserviceaccount.com" } }
    }
  }
}

run "secret" {
  command = apply

  module {
    source = "./modules/secret"
  }

  assert {
    condition = (
      google_secret_manager_secret.this["sluice-privacy-key"].replication[0].user_managed[0].replicas[0].location == "europe-west1" &&
      google_secret_manager_secret.this["sluice-privacy-key"].deletion_protection
    )
    error_message = "Expected a protected secret in europe-west1."
  }

  assert {
    condition     = keys(google_secret_manager_secret_iam_member.this) == ["sluice-privacy-key roles/secretmanager.secretAccessor pipeline"]
    error_message = "Expected one reader."
  }
}

run "no_region" {
  command = plan

  module {
    source = "./modules/secret"
  }

  variables {
    regions = []
  }

  expect_failures = [var.regions]
}
