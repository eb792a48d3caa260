locals {
  members = merge(module.iam.members, var.members)

  apis = var.enable_apis ? toset([
    "artifactregistry.googleapis.com",
    "bigquery.googleapis.com",
    "billingbudgets.googleapis.com",
    "cloudkms.googleapis.com",
    "cloudscheduler.googleapis.com",
    "compute.googleapis.com",
    "dataflow.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
    "sts.googleapis.com",
  ]) : toset([])
}

resource "google_project_service" "this" {
  for_each = local.apis

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

# Makes Pub/Sub's service agent, so that it can be named before its first use.
resource "google_project_service_identity" "pubsub" {
  provider = google-beta

  project = var.project_id
  service = "pubsub.googleapis.com"

  depends_on = [google_project_service.this]
}

module "iam" {
  source = "./modules/iam"

  project_id = var.project_id
  prefix     = var.name

  accounts = { for key, account in {
    pipeline = {
      description         = "Runs jobs: reads subscriptions and raw files, appends to the log, loads tables."
      project_roles       = ["roles/dataflow.worker", "roles/bigquery.jobUser"]
      account_users       = setintersection(["deployer", "scheduler"], local.accounts)
      workload_identities = lookup(var.workload_identities, "pipeline", {})
    }
    dbt = {
      description         = "Runs dbt: reads events, writes models."
      project_roles       = ["roles/bigquery.jobUser"]
      workload_identities = lookup(var.workload_identities, "dbt", {})
    }
    publisher = {
      description         = "Sends events to topics."
      workload_identities = lookup(var.workload_identities, "publisher", {})
    }
    deployer = {
      description         = "Pushes images, writes templates, starts and updates jobs, sends the canary of a release and looks for it."
      project_roles       = ["roles/dataflow.developer", "roles/bigquery.jobUser"]
      workload_identities = lookup(var.workload_identities, "deployer", {})
    }
    scheduler = {
      description         = "Starts jobs at their time."
      project_roles       = ["roles/dataflow.developer"]
      workload_identities = lookup(var.workload_identities, "scheduler", {})
    }
  } : key => account if contains(local.accounts, key) }

  project_members = {
    "roles/bigquery.jobUser" = { for key in var.query_users : key => var.members[key] }
  }

  github = var.github_repository == null ? null : {
    repository = var.github_repository
    account    = "deployer"
  }

  depends_on = [google_project_service.this]
}

module "secret" {
  source = "./modules/secret"

  project_id = var.project_id
  regions    = [var.region]
  labels     = var.labels
  kms_key    = var.kms_key

  secrets = {
    for name, readers in local.secret_readers : name => {
      deletion_protection = var.deletion_protection
      iam = {
        "roles/secretmanager.secretAccessor" = { for key in readers : key => local.members[key] }
      }
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}

module "dataflow" {
  source = "./modules/dataflow"

  project_id                = var.project_id
  region                    = var.region
  name                      = var.name
  labels                    = var.labels
  service_account           = module.iam.emails["pipeline"]
  scheduler_service_account = lookup(module.iam.emails, "scheduler", null)
  temp_url                  = module.storage.urls["temp"]
  kms_key                   = var.kms_key
  subnetwork                = var.subnetwork
  jobs                      = local.jobs
  replays                   = local.replays

  iam = {
    "roles/artifactregistry.reader" = { pipeline = local.members["pipeline"] }
    "roles/artifactregistry.writer" = { deployer = local.members["deployer"] }
  }

  # A job must not start before its account may read, write and load.
  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents, module.bigquery, module.iam, module.pubsub, module.secret, module.storage]
}

module "monitoring" {
  source = "./modules/monitoring"

  project_id    = var.project_id
  name          = var.name
  labels        = var.labels
  loader        = module.iam.emails["pipeline"]
  jobs          = var.alerts.jobs
  emails        = var.alerts.emails
  slack_channel = var.alerts.slack_channel
  slack_token   = var.slack_token
  thresholds    = var.alerts.thresholds
  subscriptions = local.subscriptions
  forwarding    = flatten([for topic in var.topics : [for name, each in topic.subscriptions : name if !each.dataflow]])

  depends_on = [google_project_service.this]
}
