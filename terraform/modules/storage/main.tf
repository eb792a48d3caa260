resource "google_storage_bucket" "this" {
  #checkov:skip=CKV_GCP_78:Versioning is a choice of each bucket; one with retention cannot have it, and its objects cannot change.
  for_each = var.buckets

  project       = var.project_id
  name          = each.value.name
  location      = var.location
  storage_class = each.value.class
  labels        = var.labels
  force_destroy = each.value.force_destroy

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = each.value.versioning
  }

  soft_delete_policy {
    retention_duration_seconds = each.value.soft_delete_days * 86400
  }

  dynamic "retention_policy" {
    for_each = each.value.retention_days > 0 ? [each.value] : []
    content {
      retention_period = retention_policy.value.retention_days * 86400
      is_locked        = retention_policy.value.retention_locked
    }
  }

  dynamic "encryption" {
    for_each = each.value.kms_key == null ? [] : [each.value.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  dynamic "logging" {
    for_each = var.access_log_bucket == null ? [] : [var.access_log_bucket]
    content {
      log_bucket        = logging.value
      log_object_prefix = each.value.name
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.lifecycle
    content {
      action {
        type          = lifecycle_rule.value.class == null ? "Delete" : "SetStorageClass"
        storage_class = lifecycle_rule.value.class
      }
      condition {
        age            = lifecycle_rule.value.age
        matches_prefix = lifecycle_rule.value.prefix
      }
    }
  }

  # Parts of uploads that were never finished are paid for, but cannot be seen.
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 1
    }
  }
}

resource "google_storage_bucket_iam_member" "this" {
  for_each = merge([
    for key, bucket in var.buckets : bucket.private ? {} : merge([
      for role, members in bucket.iam : {
        for name, member in members : "${key} ${role} ${name}" => { bucket = key, role = role, member = member }
      }
    ]...)
  ]...)

  bucket = google_storage_bucket.this[each.value.bucket].name
  role   = each.value.role
  member = each.value.member
}

# A new bucket grants its objects to viewers, editors and owners of the project. The whole policy takes that away; owners
# keep what they need to change or delete the bucket.
resource "google_storage_bucket_iam_policy" "private" {
  for_each = { for key, bucket in var.buckets : key => bucket if bucket.private }

  bucket = google_storage_bucket.this[each.key].name
  policy_data = jsonencode({
    bindings = concat(
      [{ role = "roles/storage.legacyBucketOwner", members = ["projectOwner:${var.project_id}"] }],
      [for role, members in each.value.iam : { role = role, members = sort(distinct(values(members))) } if length(members) > 0],
    )
  })
}
