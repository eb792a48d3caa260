# What follows from variables and generated files alone. It refers to no resource, so that tests can ask for it without
# a provider.

locals {
  location = coalesce(var.location, var.region)

  generated = {
    for file in fileset("${path.module}/../ddl/bigquery", "*.json") :
    trimsuffix(file, ".json") => jsondecode(file("${path.module}/../ddl/bigquery/${file}"))
  }

  written = {
    for file in fileset("${path.module}/schemas", "*.json") :
    trimsuffix(file, ".json") => jsondecode(file("${path.module}/schemas/${file}"))
  }

  # A table without a domain, or of Sluice's own, lies in every dataset that has contracts.
  tables = {
    for dataset, settings in var.datasets : dataset => merge(
      {
        for name, table in local.generated : name => table
        if contains(settings.domains, try(table.labels.domain, "sluice")) ||
        (length(settings.domains) > 0 && try(table.labels.domain, "sluice") == "sluice")
      },
      { for name in settings.tables : name => local.written[name] },
    )
  }

  # The view's query is the generated one, led to this project and dataset.
  views = {
    for dataset, settings in var.datasets : dataset => merge([
      for domain in settings.domains : {
        event_counts = {
          description = "Events by type and window, exact however often events come late or again."
          query = replace(
            regex("(?s)CREATE OR REPLACE VIEW `[^`]+\\.event_counts`.*? AS\\n(.*?);", file("${path.module}/../ddl/bigquery/_${domain}.sql"))[0],
            "/`[^`]+\\._event_counts`/",
            "`${var.project_id}.${dataset}._event_counts`",
          )
        }
      } if fileexists("${path.module}/../ddl/bigquery/_${domain}.sql")
    ]...)
  }

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
    quarantine = {
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

  bucket_names = {
    for key, settings in local.bucket_settings : key => coalesce(settings.name, "${var.project_id}-${var.name}-${key}")
  }
}
