module "bigquery" {
  source   = "./modules/bigquery"
  for_each = var.datasets

  project_id                = var.project_id
  dataset_id                = each.key
  location                  = local.location
  description               = each.value.description
  labels                    = var.labels
  kms_key                   = var.kms_key
  time_travel_hours         = each.value.time_travel_hours
  deletion_protection       = var.deletion_protection
  tables                    = local.tables[each.key]
  views                     = local.views[each.key]
  partition_expiration_days = each.value.partition_expiration_days

  # A release looks for its canary, and reads nothing else of the dataset.
  table_iam = contains(each.value.tables, "canary_events") ? {
    canary_events = { "roles/bigquery.dataViewer" = { deployer = local.members["deployer"] } }
  } : {}

  iam = {
    "roles/bigquery.dataEditor" = { for key in each.value.editors : key => local.members[key] }
    "roles/bigquery.dataViewer" = { for key in each.value.readers : key => local.members[key] }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}

# What people may see of a dataset that holds more than they may.
module "bigquery_shared" {
  source   = "./modules/bigquery"
  for_each = { for dataset, settings in var.datasets : dataset => settings if length(settings.shared) > 0 }

  project_id          = var.project_id
  dataset_id          = "${each.key}_shared"
  location            = local.location
  description         = "Views of ${each.key} without what not everybody may see."
  labels              = var.labels
  kms_key             = var.kms_key
  deletion_protection = var.deletion_protection

  views = {
    for table, hidden in each.value.shared : table => {
      description = join(" ", compact([
        try(local.tables[each.key][table].description, ""),
        length(hidden) == 0 ? "" : "Without ${join(", ", hidden)}.",
      ]))
      query = join(" ", [
        "SELECT ${join(", ", [for field in local.tables[each.key][table].schema.fields : "`${field.name}`" if !contains(hidden, field.name)])}",
        "FROM `${module.bigquery[each.key].tables[table]}`",
      ])
    }
  }

  authorized_by = { (each.key) = module.bigquery[each.key].dataset_id }

  iam = {
    "roles/bigquery.dataViewer" = { for key in each.value.shared_readers : key => local.members[key] }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}
