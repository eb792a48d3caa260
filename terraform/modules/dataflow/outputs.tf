output "repository" {
  description = "What the name of an image begins with: REGION-docker.pkg.dev/PROJECT/NAME."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.this.repository_id}"
}

output "subnetwork" {
  description = "Subnetwork of the workers, as regions/R/subnetworks/S."
  value       = local.subnetwork
}

output "job_ids" {
  description = "Name => Dataflow's id of the running job."
  value       = { for name, job in google_dataflow_flex_template_job.this : name => job.job_id }
}
