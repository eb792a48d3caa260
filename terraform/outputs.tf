output "topics" {
  description = "Topic => its full name."
  value       = module.pubsub.topics
}

output "subscriptions" {
  description = "Subscription => its full name; as a job's source it is pubsub:// and this."
  value       = module.pubsub.subscriptions
}

output "warehouses" {
  description = "Dataset => the warehouse of a job: bigquery://project/dataset."
  value       = { for name, dataset in module.bigquery : name => dataset.url }
}

output "tables" {
  description = "Dataset => its tables => their full names."
  value       = { for name, dataset in module.bigquery : name => dataset.tables }
}

output "buckets" {
  description = "Key => gs:// address of the bucket."
  value       = module.storage.urls
}

output "service_accounts" {
  description = "Key => e-mail address of the account."
  value       = module.iam.emails
}

output "cloud_run_jobs" {
  description = "Names of the Cloud Run jobs, for `gcloud run jobs execute NAME`."
  value       = module.cloud_run.names
}

output "workload_identity_provider" {
  description = "What GitHub's workflows log in with, or null."
  value       = module.iam.workload_identity_provider
}

output "deploy" {
  description = "What scripts/deploy needs to know, as lines of NAME=value; there is no secret in it."
  value = join("\n", [
    "PROJECT=${var.project_id}",
    "REGION=${var.region}",
    "REPOSITORY=${module.dataflow.repository}",
    "SUBNETWORK=${module.dataflow.subnetwork}",
    "SERVICE_ACCOUNT=${module.iam.emails["pipeline"]}",
    "TEMP=${module.storage.urls["temp"]}",
    "LOG=${module.storage.urls["log"]}",
    "DEAD_LETTERS=${module.storage.urls["dead-letters"]}",
    "QUARANTINE=${module.storage.urls["quarantine"]}",
    "RAW=${module.storage.urls["raw"]}",
    "PRIVACY_SECRET=${local.privacy_secret}",
    "CMEK=${coalesce(var.kms_key, "none")}",
    "",
  ])
}
