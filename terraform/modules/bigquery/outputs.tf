output "dataset_id" {
  description = "Name of the dataset."
  value       = google_bigquery_dataset.this.dataset_id
}

output "url" {
  description = "The dataset as a job's warehouse: bigquery://project/dataset."
  value       = "bigquery://${var.project_id}/${google_bigquery_dataset.this.dataset_id}"
}

output "tables" {
  description = "Table => its full name, project.dataset.table; views not among them."
  value       = { for name, table in google_bigquery_table.this : name => "${var.project_id}.${table.dataset_id}.${table.table_id}" }
}

output "views" {
  description = "View => its full name, project.dataset.view."
  value       = { for name, view in google_bigquery_table.views : name => "${var.project_id}.${view.dataset_id}.${view.table_id}" }
}
