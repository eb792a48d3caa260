# Commands that run to their end, such as `sluice load`, `sluice monitor` and dbt, in the images that
# `scripts/deploy image` pushed.
module "cloud_run" {
  source = "./modules/cloud_run"

  project_id                = var.project_id
  region                    = var.region
  labels                    = var.labels
  kms_key                   = var.kms_key
  scheduler_service_account = lookup(module.iam.emails, "scheduler", null)

  jobs = {
    for name, job in var.cloud_run_jobs : name => {
      image           = "${module.dataflow.repository}/sluice-${job.target}:${job.version}"
      service_account = module.iam.emails[job.account]
      args            = job.args
      env             = merge({ PROJECT = var.project_id, GOOGLE_CLOUD_PROJECT = var.project_id, SLUICE_BIGQUERY_LOCATION = local.location }, job.env)
      secrets         = job.secrets
      cpu             = job.cpu
      memory          = job.memory
      timeout_seconds = job.timeout_seconds
      max_retries     = job.max_retries
      schedule        = job.schedule
      time_zone       = job.time_zone
      paused          = job.paused
    }
  }

  # A job must not start before its account may read, write and load.
  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents, module.bigquery, module.iam, module.secret, module.storage]
}
