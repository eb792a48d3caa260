output "names" {
  description = "Names of the jobs, for `gcloud run jobs execute NAME`."
  value       = [for job in google_cloud_run_v2_job.this : job.name]
}
