locals {
  # Creating an object needs storage.objects.create alone; overwriting or deleting one needs more than a creator has.
  # So the log is append-only for the pipeline, too.
  append = {
    "roles/storage.objectCreator" = ["pipeline"]
    "roles/storage.objectViewer"  = ["pipeline"]
  }

  buckets = {
    log = {
      retention_days = 7
      coldline_days  = 90
      readers        = ["dbt"]
      roles          = local.append
    }
    dead-letters = {
      retention_days = 7
      expire_days    = 365
      roles          = local.append
    }
    unparsable = {
      expire_days = 30
      roles       = local.append
    }
    raw = {
      versioning  = true
      expire_days = 90
      roles       = { "roles/storage.objectViewer" = ["pipeline"] }
    }
    temp = {
      expire_days      = 14
      soft_delete_days = 0
      prefixes         = ["temp/", "staging/"]
      roles = {
        "roles/storage.objectUser"         = ["pipeline", "deployer"]
        "roles/storage.objectViewer"       = ["scheduler"]
        "roles/storage.legacyBucketReader" = ["pipeline", "deployer"]
      }
    }
  }

  bucket_settings = {
    for key, default in local.buckets : key => {
      for name in ["name", "retention_days", "expire_days", "coldline_days", "versioning", "soft_delete_days", "readers"] :
      name => try(coalesce(try(var.buckets[key][name], null), try(default[name], null)), null)
    }
  }
}

module "storage" {
  source = "./modules/storage"

  project_id        = var.project_id
  location          = local.location
  labels            = var.labels
  access_log_bucket = var.access_log_bucket

  buckets = {
    for key, settings in local.bucket_settings : key => {
      name             = coalesce(settings.name, "${var.project_id}-${var.name}-${key}")
      versioning       = tobool(coalesce(settings.versioning, false))
      retention_days   = tonumber(coalesce(settings.retention_days, 0))
      soft_delete_days = tonumber(coalesce(settings.soft_delete_days, 7))
      force_destroy    = !var.deletion_protection || key == "temp"
      lifecycle = concat(
        settings.coldline_days == null ? [] : [{ age = tonumber(settings.coldline_days), class = "COLDLINE", prefix = [] }],
        settings.expire_days == null ? [] : [{ age = tonumber(settings.expire_days), class = null, prefix = try(local.buckets[key].prefixes, []) }],
      )
      iam = merge(
        { for role, keys in local.buckets[key].roles : role => { for member in keys : member => local.members[member] } },
        settings.readers == null ? {} : {
          "roles/storage.objectViewer" = {
            for member in distinct(concat(try(local.buckets[key].roles["roles/storage.objectViewer"], []), settings.readers)) :
            member => local.members[member]
          }
        },
      )
    }
  }

  depends_on = [google_project_service.this]
}
