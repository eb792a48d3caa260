resource "google_secret_manager_secret" "this" {
  for_each = var.secrets

  project             = var.project_id
  secret_id           = each.key
  labels              = var.labels
  version_destroy_ttl = each.value.destroy_ttl
  deletion_protection = each.value.deletion_protection

  replication {
    user_managed {
      dynamic "replicas" {
        for_each = var.regions
        content {
          location = replicas.value

          dynamic "customer_managed_encryption" {
            for_each = var.kms_key == null ? [] : [var.kms_key]
            content {
              kms_key_name = customer_managed_encryption.value
            }
          }
        }
      }
    }
  }
}

resource "google_secret_manager_secret_iam_member" "this" {
  for_each = merge([
    for name, secret in var.secrets : merge([
      for role, members in secret.iam : {
        for key, member in members : "${name} ${role} ${key}" => { secret = name, role = role, member = member }
      }
    ]...)
  ]...)

  project   = var.project_id
  secret_id = google_secret_manager_secret.this[each.value.secret].secret_id
  role      = each.value.role
  member    = each.value.member
}
