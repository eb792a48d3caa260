resource "google_bigquery_dataset" "this" {
  project                    = var.project_id
  dataset_id                 = var.dataset_id
  location                   = var.location
  description                = var.description
  labels                     = var.labels
  max_time_travel_hours      = tostring(var.time_travel_hours)
  storage_billing_model      = var.storage_billing_model
  delete_contents_on_destroy = !var.deletion_protection

  dynamic "default_encryption_configuration" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }
}

resource "google_bigquery_table" "this" {
  #checkov:skip=CKV_GCP_80:Tables take the dataset's key, kms_key; without one, Google's own encrypts them.
  for_each = var.tables

  project                  = var.project_id
  dataset_id               = google_bigquery_dataset.this.dataset_id
  table_id                 = each.key
  description              = try(each.value.description, null)
  labels                   = merge(var.labels, try(each.value.labels, {}))
  schema                   = jsonencode(each.value.schema.fields)
  clustering               = try(each.value.clustering.fields, null)
  require_partition_filter = try(each.value.requirePartitionFilter, null)
  deletion_protection      = var.deletion_protection

  dynamic "time_partitioning" {
    for_each = can(each.value.timePartitioning) ? [each.value.timePartitioning] : []
    content {
      type          = time_partitioning.value.type
      field         = try(time_partitioning.value.field, null)
      expiration_ms = contains(keys(var.partition_expiration_days), each.key) ? var.partition_expiration_days[each.key] * 86400000 : null
    }
  }

  lifecycle {
    precondition {
      condition = alltrue([
        for name in concat(try(each.value.clustering.fields, []), try([each.value.timePartitioning.field], [])) :
        contains(each.value.schema.fields[*].name, name)
      ])
      error_message = "Table ${each.key}: expected partition and cluster columns that are in its schema."
    }
  }
}

resource "google_bigquery_table" "views" {
  #checkov:skip=CKV_GCP_80:A view holds no data.
  for_each = var.views

  project             = var.project_id
  dataset_id          = google_bigquery_dataset.this.dataset_id
  table_id            = each.key
  description         = each.value.description
  labels              = var.labels
  deletion_protection = var.deletion_protection

  view {
    query          = each.value.query
    use_legacy_sql = false
  }

  # BigQuery checks a view's query when the view is made.
  depends_on = [google_bigquery_table.this]
}
