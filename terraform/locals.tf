# What follows from variables and generated files alone. It refers to no resource, so that tests can ask for it without
# a provider.

locals {
  location       = coalesce(var.location, var.region)
  privacy_secret = coalesce(var.privacy_secret, "${var.name}-privacy-key")
  secrets        = distinct(concat([local.privacy_secret], var.secrets))

  # Accounts that this configuration makes; the last one only if something has a schedule.
  account_keys = ["pipeline", "dbt", "publisher", "deployer", "scheduler"]
  starts_jobs  = length(var.replays) > 0 || anytrue([for job in var.cloud_run_jobs : job.schedule != null])
  accounts     = [for key in local.account_keys : key if key != "scheduler" || local.starts_jobs]

  # What variables can name by its key. It must not depend on variables whose validation names it.
  member_keys   = concat(local.account_keys, keys(var.members))
  subscriptions = flatten([for topic in var.topics : keys(topic.subscriptions)])
  read_topics   = [for name, topic in var.topics : name if anytrue([for each in topic.subscriptions : each.dataflow && contains(each.subscribers, "pipeline")])]
  repository    = "${var.region}-docker.pkg.dev/${var.project_id}/${var.name}"

  # Name of an Avro schema, which is its full name in Avro => the generated schema.
  schemas = {
    for contract in distinct(compact([for topic in var.topics : try(topic.schema.contract, null)])) :
    replace(contract, "/", ".") => jsonencode(jsondecode(file("${path.module}/../schemas/${replace(contract, "/", "/avro/")}.avsc")))
  }

  # Job files that images of this checkout have; those of other versions may have others.
  job_files = fileset("${path.module}/..", "jobs/**/*.{yaml,yml}")

  # Files that the image cli has, and that its commands are given.
  cli_files = setunion(local.job_files, fileset("${path.module}/..", "{monitors,schemas}/**/*.{yaml,yml}"))

  # Secret => keys of the accounts that may read it: those of the jobs that are given its value.
  secret_readers = {
    for secret in local.secrets : secret => distinct(concat(
      secret == local.privacy_secret ? ["pipeline"] : [],
      [for job in var.cloud_run_jobs : job.account if contains(values(job.secrets), secret)],
    ))
  }

  job_places = {
    files        = "gs://${local.bucket_names["log"]}/output"
    dead_letters = "gs://${local.bucket_names["dead-letters"]}/dead_letters"
    quarantine   = "gs://${local.bucket_names["quarantine"]}/quarantine"
    privacy_key  = "projects/${var.project_id}/secrets/${local.privacy_secret}"
  }

  # A job with what scripts/deploy would give it; its own parameters have priority.
  jobs = {
    for name, job in var.jobs : name => merge(job, {
      template = "gs://${local.bucket_names["temp"]}/templates/${job.version}.json"
      image    = "${local.repository}/sluice:${job.version}"
      parameters = merge(
        local.job_places,
        job.subscription == null ? {} : { source = "pubsub://projects/${var.project_id}/subscriptions/${job.subscription}" },
        job.dataset == null ? {} : { warehouse = "bigquery://${var.project_id}/${job.dataset}" },
        job.parameters,
      )
    })
  }

  replays = {
    for name, replay in var.replays : name => merge(replay, {
      template = "gs://${local.bucket_names["temp"]}/templates/${replay.version}.json"
      image    = "${local.repository}/sluice:${replay.version}"
      parameters = merge(
        local.job_places,
        replay.raw_files == null ? {} : { source = "gs://${local.bucket_names["raw"]}/${replay.raw_files}" },
        replay.dataset == null ? {} : { warehouse = "bigquery://${var.project_id}/${replay.dataset}" },
        replay.parameters,
      )
    })
  }

  generated = {
    for file in fileset("${path.module}/../ddl/bigquery", "*.json") :
    trimsuffix(file, ".json") => jsondecode(file("${path.module}/../ddl/bigquery/${file}"))
  }

  written = {
    for file in fileset("${path.module}/schemas", "*.json") :
    trimsuffix(file, ".json") => jsondecode(file("${path.module}/schemas/${file}"))
  }

  # Table => the domain of its contract, or sluice for Sluice's own.
  table_domains = { for name, table in local.generated : name => try(table.labels.domain, "sluice") }

  # A table without a domain, or of Sluice's own, lies in every dataset that has contracts.
  tables = {
    for dataset, settings in var.datasets : dataset => merge(
      {
        for name, table in local.generated : name => table
        if contains(settings.domains, local.table_domains[name]) ||
        (length(settings.domains) > 0 && local.table_domains[name] == "sluice")
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
      roles          = local.append
    }
    dead-letters = {
      retention_days = 7
      expire_days    = 365
      roles          = local.append
    }
    quarantine = {
      expire_days = 30
      private     = true
      roles       = local.append
    }
    raw = {
      versioning  = true
      expire_days = 90
      roles       = { "roles/storage.objectViewer" = ["pipeline"] }
    }
    # Nothing here expires by its age: a job that runs for a year reads what was staged when it was started, and its
    # ledger begins there.
    temp = {
      soft_delete_days = 0
      roles = {
        "roles/storage.objectUser"         = ["pipeline", "deployer"]
        "roles/storage.objectViewer"       = local.starts_jobs ? ["scheduler"] : []
        "roles/storage.legacyBucketReader" = ["pipeline", "deployer"]
      }
    }
  }

  bucket_settings = {
    for key, default in local.buckets : key => {
      for name in ["name", "retention_days", "expire_days", "coldline_days", "versioning", "soft_delete_days", "readers", "writers"] :
      name => try(coalesce(try(var.buckets[key][name], null), try(default[name], null)), null)
    }
  }

  bucket_names = {
    for key, settings in local.bucket_settings : key => coalesce(settings.name, "${var.project_id}-${var.name}-${key}")
  }
}
