module "storage" {
  source = "./modules/storage"

  project_id        = var.project_id
  location          = local.location
  labels            = var.labels
  access_log_bucket = var.access_log_bucket

  buckets = {
    for key, settings in local.bucket_settings : key => {
      name             = local.bucket_names[key]
      kms_key          = var.kms_key
      versioning       = tobool(coalesce(settings.versioning, false))
      retention_days   = tonumber(coalesce(settings.retention_days, 0))
      soft_delete_days = tonumber(coalesce(settings.soft_delete_days, 7))
      private          = try(local.buckets[key].private, false)
      force_destroy    = !var.deletion_protection || key == "temp"
      lifecycle = concat(
        settings.coldline_days == null ? [] : [{ age = tonumber(settings.coldline_days), class = "COLDLINE", prefix = [] }],
        settings.expire_days == null ? [] : [{ age = tonumber(settings.expire_days), class = null, prefix = [] }],
      )
      iam = merge(
        { for role, keys in local.buckets[key].roles : role => { for member in keys : member => local.members[member] } },
        settings.writers == null ? {} : {
          "roles/storage.objectUser" = { for member in settings.writers : member => local.members[member] }
        },
        settings.readers == null ? {} : {
          "roles/storage.objectViewer" = {
            for member in distinct(concat(try(local.buckets[key].roles["roles/storage.objectViewer"], []), settings.readers)) :
            member => local.members[member]
          }
        },
      )
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}
