# The reporting system alone: a dataset with raw and reporting tables, the bucket for files before their ingestion, and
# what dbt and the loading scripts may do. Another dataset name or region is another value.
#
#   terraform -chdir=terraform/examples/ecommerce init
#   terraform -chdir=terraform/examples/ecommerce apply -var project_id=… -var dataset=ecommerce_data

module "sluice" {
  source = "../.."

  project_id = var.project_id
  region     = var.region

  topics = {}

  datasets = {
    (var.dataset) = {
      domains = ["commerce"]
      tables  = ["reporting_metrics"]
      editors = ["pipeline", "dbt"]
      readers = keys(var.analysts)
    }
  }

  members     = var.analysts
  query_users = keys(var.analysts)
}

variable "dataset" {
  description = "Name of the dataset."
  type        = string
  default     = "ecommerce_data"
  nullable    = false
}

variable "analysts" {
  description = "Who may query the dataset: any key => member."
  type        = map(string)
  default     = {}
  nullable    = false
}

output "tables" {
  description = "Tables of the dataset => their full names."
  value       = module.sluice.tables[var.dataset]
}

output "raw_files" {
  description = "Bucket for files before their ingestion."
  value       = module.sluice.buckets["raw"]
}
