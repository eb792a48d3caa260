# The reporting system alone: a dataset with raw and reporting tables, the bucket for files before their ingestion, and
# what dbt and the loading scripts may do. Another dataset name or region is another value.
#
#   scripts/deploy apply -var-file=examples/ecommerce.tfvars

topics = {}

datasets = {
  ecommerce_data = {
    description = "Sales, customer logs and the product catalogue, and what reports show of them."
    domains     = ["commerce"]
    tables      = ["reporting_metrics"]
    editors     = ["pipeline", "dbt"]
    readers     = ["analysts"]
  }
}

members     = { analysts = "group:analysts@example.com", exports = "serviceAccount:exports@example.iam.gserviceaccount.com" }
query_users = ["analysts"]
buckets     = { raw = { writers = ["exports"] } }

cloud_run_jobs = {
  sluice-dbt = {
    target   = "dbt"
    version  = "v1.2.0"
    args     = ["build", "--select", "commerce"]
    account  = "dbt"
    schedule = "0 5 * * *"
    env = {
      SLUICE_DBT_TARGET       = "bigquery"
      SLUICE_SCHEMA           = "ecommerce_data"
      SLUICE_STAGING_SCHEMA   = "ecommerce_data"
      SLUICE_MARTS_SCHEMA     = "ecommerce_data"
      SLUICE_REPORTING_SCHEMA = "ecommerce_data"
    }
  }
}
