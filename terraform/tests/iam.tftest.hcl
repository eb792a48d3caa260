mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      name   = "projects/shop-prod-1/serviceAccounts/mocked@shop-prod-1.iam.gserviceaccount.com"
      email  = "mocked@shop-prod-1.iam.gserviceaccount.com"
      member = "serviceAccount:mocked@shop-prod-1.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id = "shop-prod-1"
  accounts = {
    pipeline = {
      description   = "Runs jobs."
      project_roles = ["roles/dataflow.worker"]
      account_users = ["deployer"]
    }
    deployer = { description = "Starts jobs." }
    dbt = {
      description         = "Runs dbt."
      workload_identities = { gke = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/ns/dbt/sa/dbt" }
    }
  }
  github = { repository = "acme/events", account = "deployer" }
}

run "accounts" {
  command = apply

  module {
    source = "./modules/iam"
  }

  assert {
    condition     = [for account in google_service_account.this : account.account_id] == ["sluice-dbt", "sluice-deployer", "sluice-pipeline"]
    error_message = "Expected sluice-dbt, sluice-deployer and sluice-pipeline."
  }

  assert {
    condition     = keys(google_project_iam_member.accounts) == ["pipeline roles/dataflow.worker"]
    error_message = "Expected one role on the project."
  }

  assert {
    condition = (
      google_service_account_iam_member.account_users["pipeline deployer"].role == "roles/iam.serviceAccountUser" &&
      google_service_account_iam_member.account_users["pipeline deployer"].member == "serviceAccount:mocked@shop-prod-1.iam.gserviceaccount.com"
    )
    error_message = "Expected that the deployer may run jobs as the pipeline."
  }

  assert {
    condition     = google_service_account_iam_member.workloads["dbt gke"].role == "roles/iam.workloadIdentityUser"
    error_message = "Expected a workload identity for dbt."
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.github[0].attribute_condition == "assertion.sub == 'repo:acme/events:environment:production'"
    error_message = "Expected that only acme/events gets a token, and only to deploy."
  }

  assert {
    condition     = endswith(google_service_account_iam_member.github[0].member, "/subject/repo:acme/events:environment:production")
    error_message = google_service_account_iam_member.github[0].member
  }
}

run "no_github" {
  command = apply

  module {
    source = "./modules/iam"
  }

  variables {
    github = null
  }

  assert {
    condition     = output.workload_identity_provider == null && length(google_iam_workload_identity_pool.github) == 0
    error_message = "Expected no pool."
  }
}

run "an_editor" {
  command = plan

  module {
    source = "./modules/iam"
  }

  variables {
    accounts = { pipeline = { description = "x", project_roles = ["roles/editor"] }, deployer = { description = "x" } }
  }

  expect_failures = [var.accounts]
}

run "a_storage_admin" {
  command = plan

  module {
    source = "./modules/iam"
  }

  variables {
    accounts = { pipeline = { description = "x", project_roles = ["roles/storage.admin"] }, deployer = { description = "x" } }
  }

  expect_failures = [var.accounts]
}
