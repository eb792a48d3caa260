variable "project_id" {
  description = "Project that everything lies in."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "Expected the id of a project: 6 to 30 lower-case letters, digits and -, not its name or number."
  }
}

variable "region" {
  description = "Region of jobs, images, messages and secrets."
  type        = string
  default     = "europe-west1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Expected a region such as europe-west1."
  }
}

variable "location" {
  description = "Where datasets and buckets lie: a region or a multi-region such as EU; null for the region."
  type        = string
  default     = null
}

variable "name" {
  description = "What service accounts, image repository, network, alerts and buckets are called after."
  type        = string
  default     = "sluice"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,14}$", var.name))
    error_message = "Expected at most 15 lower-case letters, digits and -, beginning with a letter."
  }
}

variable "labels" {
  description = "Labels of everything that can have labels."
  type        = map(string)
  default     = { app = "sluice" }
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether tables, secrets, topics, subscriptions and buckets with something in them refuse to be destroyed. Set it to false, and apply, before a teardown."
  type        = bool
  default     = true
  nullable    = false
}

variable "enable_apis" {
  description = "Whether to enable the APIs of the project that are used."
  type        = bool
  default     = true
  nullable    = false
}

variable "topics" {
  description = <<-EOT
    Topics and their subscriptions: see modules/pubsub, but in `publishers`, and in a subscription's `subscribers`, members
    stand by their key: an account, or one of `members`. `schema` is for topics that no job reads: Pub/Sub rejects what is
    not Avro of the `contract`, a domain and an event type such as backend_events/order, in its `encoding` JSON or BINARY.
  EOT
  type = map(object({
    retention  = optional(string, "604800s")
    publishers = optional(list(string), ["publisher"])
    schema     = optional(object({ contract = string, encoding = optional(string, "JSON") }))
    subscriptions = optional(map(object({
      dataflow              = optional(bool, true)
      ack_deadline_seconds  = optional(number, 60)
      retention             = optional(string, "604800s")
      retain_acked_messages = optional(bool, false)
      max_delivery_attempts = optional(number, 100)
      subscribers           = optional(list(string), ["pipeline"])
    })), {})
  }))
  default = {
    backend-events-topic = {
      subscriptions = { backend-events-topic-sub = {} }
    }
  }
  nullable = false

  validation {
    condition = length(setsubtract(
      flatten([for topic in var.topics : concat(topic.publishers, flatten([for each in topic.subscriptions : each.subscribers]))]), local.member_keys,
    )) == 0
    error_message = "Topics: expected publishers and subscribers that are keys of accounts or of members, got ${join(", ", setsubtract(flatten([for topic in var.topics : concat(topic.publishers, flatten([for each in topic.subscriptions : each.subscribers]))]), local.member_keys))}."
  }

  validation {
    condition = alltrue([
      for contract in compact([for topic in var.topics : try(topic.schema.contract, null)]) :
      fileexists("${path.module}/../schemas/${replace(contract, "/", "/avro/")}.avsc")
    ])
    error_message = "Topics: expected the contract of a schema as <domain>/<event type>, of ${join(", ", [for file in fileset("${path.module}/../schemas", "*/avro/*.avsc") : replace(trimsuffix(file, ".avsc"), "//avro//", "/")])}; got ${join(", ", [for contract in compact([for topic in var.topics : try(topic.schema.contract, null)]) : contract if !fileexists("${path.module}/../schemas/${replace(contract, "/", "/avro/")}.avsc")])}."
  }

  validation {
    condition     = alltrue([for topic in var.topics : contains(["JSON", "BINARY"], try(topic.schema.encoding, "JSON"))])
    error_message = "Topics: expected a schema's encoding JSON or BINARY."
  }

  # Every contract has a timestamp. In JSON it is text, in Avro, also in Avro's JSON, a number; so what such a topic takes, a
  # job rejects.
  validation {
    condition = length([
      for name, topic in var.topics : name
      if topic.schema != null && anytrue([for each in topic.subscriptions : contains(each.subscribers, "pipeline")])
    ]) == 0
    error_message = "Topics: expected no schema where the pipeline subscribes, since jobs read JSON, which is not Avro's JSON; got ${join(", ", [for name, topic in var.topics : name if topic.schema != null && anytrue([for each in topic.subscriptions : contains(each.subscribers, "pipeline")])])}."
  }
}

variable "datasets" {
  description = <<-EOT
    Datasets by name. A dataset holds the tables of the contracts of its `domains`, with what Sluice keeps beside them,
    and those of schemas/ that it names in `tables`; the deployer reads `canary_events`, where releases look for what they sent. `shared` are views over tables of its own, without the columns that
    are listed; they lie in the dataset `<name>_shared`, whose readers may not read this one. Members stand by their key.
  EOT
  type = map(object({
    description               = optional(string)
    domains                   = optional(list(string), [])
    tables                    = optional(list(string), [])
    editors                   = optional(list(string), ["pipeline"])
    readers                   = optional(list(string), ["dbt"])
    shared                    = optional(map(list(string)), {})
    shared_readers            = optional(list(string), [])
    time_travel_hours         = optional(number, 168)
    partition_expiration_days = optional(map(number), {})
  }))
  default = {
    backend_events = {
      description = "Trusted events of the shop's backend."
      domains     = ["backend_events"]
      tables      = ["canary_events"]
      shared = {
        order_events         = ["shipping_address"]
        inventory_events     = []
        user_activity_events = ["ip_address", "user_agent"]
      }
    }
    backend_events_canary = {
      description = "Ten orders of each release, which scripts/deploy canary replays and finds here."
      domains     = ["backend_events"]
      readers     = ["deployer"]
    }
    ecommerce_data = {
      description = "Sales, customer logs and the product catalogue, and what reports show of them."
      domains     = ["commerce"]
      tables      = ["reporting_metrics"]
      editors     = ["pipeline", "dbt"]
      readers     = []
    }
  }
  nullable = false

  validation {
    condition     = alltrue(flatten([for dataset in var.datasets : [for domain in dataset.domains : fileexists("${path.module}/../ddl/bigquery/_${domain}.sql")]]))
    error_message = "Datasets: expected domains that have contracts, ${join(", ", [for file in fileset("${path.module}/../ddl/bigquery", "_*.sql") : trimsuffix(trimprefix(file, "_"), ".sql")])}; got ${join(", ", flatten([for dataset in var.datasets : [for domain in dataset.domains : domain if !fileexists("${path.module}/../ddl/bigquery/_${domain}.sql")]]))}."
  }

  validation {
    condition     = length(setsubtract(flatten([for dataset in var.datasets : dataset.tables]), keys(local.written))) == 0
    error_message = "Datasets: expected tables of schemas/, ${join(", ", keys(local.written))}; got ${join(", ", setsubtract(flatten([for dataset in var.datasets : dataset.tables]), keys(local.written)))}."
  }

  validation {
    condition = alltrue(flatten([
      for dataset in var.datasets : [
        for table in concat(keys(dataset.shared), keys(dataset.partition_expiration_days)) :
        contains(dataset.tables, table) || contains(concat(dataset.domains, ["sluice"]), lookup(local.table_domains, table, ""))
      ]
    ]))
    error_message = "Datasets: expected shared and partition_expiration_days to name tables of their dataset, got ${join(", ", flatten([for dataset in var.datasets : [for table in concat(keys(dataset.shared), keys(dataset.partition_expiration_days)) : table if !contains(dataset.tables, table) && !contains(concat(dataset.domains, ["sluice"]), lookup(local.table_domains, table, ""))]]))}."
  }

  validation {
    condition = alltrue(flatten([
      for dataset in var.datasets : [
        for table, hidden in dataset.shared : [for column in hidden : contains(try(merge(local.generated, local.written)[table].schema.fields[*].name, hidden), column)]
      ]
    ]))
    error_message = "Datasets: expected shared to hide columns that their table has; a misspelt one would be shown."
  }

  validation {
    condition     = length(setsubtract(flatten([for dataset in var.datasets : concat(dataset.editors, dataset.readers, dataset.shared_readers)]), local.member_keys)) == 0
    error_message = "Datasets: expected editors, readers and shared_readers that are keys of accounts or of members, got ${join(", ", setsubtract(flatten([for dataset in var.datasets : concat(dataset.editors, dataset.readers, dataset.shared_readers)]), local.member_keys))}."
  }
}

variable "buckets" {
  description = <<-EOT
    Names of the buckets, and how long what they hold is kept. A name that is not given is `<project_id>-<name>-<key>`.
    `log` holds every event that was accepted; `dead-letters` what was refused; `quarantine` what was refused and could
    not even be read, so that nothing in it could be protected; `raw` files before their ingestion; `temp` what jobs
    need while they run, and templates. `readers`, and in `raw` `writers`, are keys of accounts or of `members`.
  EOT
  type = map(object({
    name             = optional(string)
    retention_days   = optional(number)
    expire_days      = optional(number)
    coldline_days    = optional(number)
    versioning       = optional(bool)
    soft_delete_days = optional(number)
    readers          = optional(list(string))
    writers          = optional(list(string))
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for key in keys(var.buckets) : contains(["log", "dead-letters", "quarantine", "raw", "temp"], key)])
    error_message = "Expected settings of log, dead-letters, quarantine, raw or temp."
  }

  validation {
    condition     = try(var.buckets["temp"].expire_days, null) == null
    error_message = "Bucket temp: expected no expire_days; running jobs read what was staged there, however long ago."
  }

  validation {
    condition     = alltrue([for key, bucket in var.buckets : key == "raw" || bucket.writers == null])
    error_message = "Expected writers of the bucket raw alone; the others are written by jobs."
  }

  validation {
    condition     = length(setsubtract(flatten([for bucket in var.buckets : concat(coalesce(bucket.readers, []), coalesce(bucket.writers, []))]), local.member_keys)) == 0
    error_message = "Buckets: expected readers and writers that are keys of accounts or of members, got ${join(", ", setsubtract(flatten([for bucket in var.buckets : concat(coalesce(bucket.readers, []), coalesce(bucket.writers, []))]), local.member_keys))}."
  }
}

variable "kms_key" {
  description = "Key of Cloud KMS, projects/P/locations/R/keyRings/K/cryptoKeys/N in `region`, that encrypts buckets, datasets, topics, secrets, images and jobs; null for Google's own."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/${var.region}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "Expected a key in the region of the jobs, projects/P/locations/${var.region}/keyRings/K/cryptoKeys/N."
  }

  validation {
    condition     = var.kms_key == null || coalesce(var.location, var.region) == var.region
    error_message = "Expected datasets and buckets in the region of kms_key: location null or ${var.region}."
  }
}

variable "budget" {
  description = "Alert on what the project costs in a month: its billing account, and an amount in the account's currency; null for none. Whoever applies it must be a costs manager of the account."
  type = object({
    billing_account = string
    amount          = number
    thresholds      = optional(list(number), [0.5, 0.9, 1])
  })
  default = null

  validation {
    condition     = var.budget == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "Budget: expected a billing account such as 0AB12C-3DE45F-6789AB."
  }

  validation {
    condition     = try(var.budget.amount > 0 && floor(var.budget.amount) == var.budget.amount && alltrue([for each in var.budget.thresholds : each > 0]), true)
    error_message = "Budget: expected an amount in whole units of money, and thresholds as shares of it, such as 0.5."
  }
}

variable "access_log_bucket" {
  description = "Existing bucket that keeps the usage logs of the others; null for none."
  type        = string
  default     = null
}

variable "members" {
  description = "People and groups by a key that other variables name them by, such as analysts = \"group:analysts@example.com\"; keys of accounts are taken."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setintersection(keys(var.members), ["pipeline", "dbt", "publisher", "deployer", "scheduler"])) == 0
    error_message = "Expected keys other than those of accounts: pipeline, dbt, publisher, deployer and scheduler."
  }

  validation {
    condition     = alltrue([for member in var.members : can(regex("^(user|group|serviceAccount|principal|principalSet):.+$", member))])
    error_message = "Expected members such as group:analysts@example.com."
  }
}

variable "query_users" {
  description = "Keys of `members` who may run queries; what they may read, datasets say."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(setsubtract(var.query_users, keys(var.members))) == 0
    error_message = "Expected keys of members, got ${join(", ", setsubtract(var.query_users, keys(var.members)))}."
  }
}

variable "workload_identities" {
  description = "Principals that may act as an account without a key: account => {any key => principal:// or principalSet://}. For dbt on GKE, for example."
  type        = map(map(string))
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.workload_identities), local.account_keys)) == 0
    error_message = "Expected keys of accounts, ${join(", ", local.account_keys)}; got ${join(", ", setsubtract(keys(var.workload_identities), local.account_keys))}."
  }
}

variable "github_repository" {
  description = "Repository owner/name whose workflow, in the environment `production`, deploys; null for none."
  type        = string
  default     = null
}

variable "privacy_secret" {
  description = "Name of the secret that holds the key which protects restricted properties; null for `<name>-privacy-key`."
  type        = string
  default     = null
}

variable "secrets" {
  description = "Names of further secrets, which are made without values, such as slack-token. The accounts of those `cloud_run_jobs` that name one may read it."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for name in var.secrets : can(regex("^[A-Za-z0-9_-]{1,255}$", name))])
    error_message = "Secrets: expected names of letters, digits, - and _."
  }
}

variable "subnetwork" {
  description = "Existing subnetwork with Private Google Access for the workers, as regions/R/subnetworks/S; null makes one."
  type        = string
  default     = null
}

variable "jobs" {
  description = <<-EOT
    Streaming jobs that Terraform owns; empty when scripts/deploy starts them. `version` is that of an image and a
    template that scripts/deploy has made; `subscription` and `dataset` are names of `topics` and `datasets`, and become
    source and warehouse. `parameters` are those of deploy/metadata.json; places that they do not name are the buckets
    and the secret here. The rest as in modules/dataflow.
  EOT
  type = map(object({
    version                = string
    subscription           = optional(string)
    dataset                = optional(string)
    parameters             = optional(map(string), {})
    num_workers            = optional(number, 1)
    max_workers            = optional(number, 10)
    machine_type           = optional(string, "n2-standard-2")
    experiments            = optional(list(string), [])
    transform_name_mapping = optional(map(string), {})
    on_delete              = optional(string, "drain")
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for job in var.jobs : job.subscription != null || contains(keys(job.parameters), "source")])
    error_message = "Jobs: expected a subscription, or source among the parameters."
  }

  validation {
    condition     = alltrue([for job in var.jobs : job.dataset != null || contains(keys(job.parameters), "warehouse")])
    error_message = "Jobs: expected a dataset, or warehouse among the parameters."
  }

  validation {
    condition     = length(setsubtract(compact([for job in var.jobs : job.subscription]), local.subscriptions)) == 0
    error_message = "Jobs: expected subscriptions of topics, ${join(", ", local.subscriptions)}; got ${join(", ", setsubtract(compact([for job in var.jobs : job.subscription]), local.subscriptions))}."
  }

  validation {
    condition = length([
      for job in var.jobs : job if !strcontains(lookup(job.parameters, "job", "://"), "://") && !contains(local.job_files, lookup(job.parameters, "job", ""))
    ]) == 0
    error_message = "Jobs: expected the parameter job to be an address such as gs://bucket/release/job.yaml, or one of this checkout, ${join(", ", local.job_files)}; got ${join(", ", compact([for job in var.jobs : lookup(job.parameters, "job", "")]))}."
  }

  validation {
    condition     = length(setsubtract(compact([for job in var.jobs : job.dataset]), keys(var.datasets))) == 0
    error_message = "Jobs: expected datasets, ${join(", ", keys(var.datasets))}; got ${join(", ", setsubtract(compact([for job in var.jobs : job.dataset]), keys(var.datasets)))}."
  }
}

variable "replays" {
  description = <<-EOT
    Batch jobs on a schedule, as `jobs`, but with `raw_files`, a pattern of files in the bucket `raw` such as `history/**`,
    in place of a subscription. The rest as in modules/dataflow.
  EOT
  type = map(object({
    version      = string
    raw_files    = optional(string)
    dataset      = optional(string)
    parameters   = optional(map(string), {})
    schedule     = string
    time_zone    = optional(string, "Etc/UTC")
    paused       = optional(bool, false)
    max_workers  = optional(number, 10)
    machine_type = optional(string, "n2-standard-2")
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for replay in var.replays : replay.raw_files != null || contains(keys(replay.parameters), "source")])
    error_message = "Replays: expected raw_files, or source among the parameters."
  }

  validation {
    condition     = alltrue([for replay in var.replays : replay.dataset != null || contains(keys(replay.parameters), "warehouse")])
    error_message = "Replays: expected a dataset, or warehouse among the parameters."
  }

  validation {
    condition = length([
      for replay in var.replays : replay if !strcontains(lookup(replay.parameters, "job", "://"), "://") && !contains(local.job_files, lookup(replay.parameters, "job", ""))
    ]) == 0
    error_message = "Replays: expected the parameter job to be an address such as gs://bucket/release/job.yaml, or one of this checkout, ${join(", ", local.job_files)}; got ${join(", ", compact([for replay in var.replays : lookup(replay.parameters, "job", "")]))}."
  }

  validation {
    condition     = length(setsubtract(compact([for replay in var.replays : replay.dataset]), keys(var.datasets))) == 0
    error_message = "Replays: expected datasets, ${join(", ", keys(var.datasets))}; got ${join(", ", setsubtract(compact([for replay in var.replays : replay.dataset]), keys(var.datasets)))}."
  }
}

variable "cloud_run_jobs" {
  description = <<-EOT
    Commands that run to their end in the image of a `target` (cli: `sluice`; dbt: `dbt`) and a `version`, which
    `scripts/deploy image` pushed: `args` are the command's. `account` is the key of an account. The rest as in
    modules/cloud_run. `secrets` are names of `secrets` here, or addresses such as projects/P/secrets/S of secrets that are made
    elsewhere, and that the account may read. PROJECT and GOOGLE_CLOUD_PROJECT are the project, SLUICE_BIGQUERY_LOCATION is `location`.
  EOT
  type = map(object({
    target          = optional(string, "cli")
    version         = string
    args            = list(string)
    account         = optional(string, "pipeline")
    env             = optional(map(string), {})
    secrets         = optional(map(string), {})
    cpu             = optional(string, "1")
    memory          = optional(string, "2Gi")
    timeout_seconds = optional(number, 3600)
    max_retries     = optional(number, 1)
    schedule        = optional(string)
    time_zone       = optional(string, "Etc/UTC")
    paused          = optional(bool, false)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for job in var.cloud_run_jobs : contains(["cli", "dbt"], job.target)])
    error_message = "Cloud Run jobs: expected target cli or dbt."
  }

  validation {
    condition     = alltrue([for job in var.cloud_run_jobs : contains(["pipeline", "dbt", "publisher", "deployer"], job.account)])
    error_message = "Cloud Run jobs: expected account pipeline, dbt, publisher or deployer."
  }

  validation {
    condition = length(setsubtract(
      flatten([for job in var.cloud_run_jobs : [for each in values(job.secrets) : each if !can(regex("^projects/[^/]+/secrets/[^/]+$", each))]]), local.secrets,
    )) == 0
    error_message = "Cloud Run jobs: expected secrets of this configuration, ${join(", ", local.secrets)}, or addresses such as projects/P/secrets/S; got ${join(", ", setsubtract(flatten([for job in var.cloud_run_jobs : [for each in values(job.secrets) : each if !can(regex("^projects/[^/]+/secrets/[^/]+$", each))]]), local.secrets))}."
  }

  validation {
    condition = length(setsubtract(
      flatten([for job in var.cloud_run_jobs : [for each in job.args : each if job.target == "cli" && can(regex("^[^-].*[.]ya?ml$", each)) && !strcontains(each, "://")]]), local.cli_files,
    )) == 0
    error_message = "Cloud Run jobs: expected job files, monitors and contracts that the images of this checkout have, such as ${join(", ", local.job_files)}; got ${join(", ", setsubtract(flatten([for job in var.cloud_run_jobs : [for each in job.args : each if job.target == "cli" && can(regex("^[^-].*[.]ya?ml$", each)) && !strcontains(each, "://")]]), local.cli_files))}."
  }
}

variable "alerts" {
  description = "Where alerts go, and when they are sent: see modules/monitoring."
  type = object({
    jobs          = optional(string, "sluice-.*")
    emails        = optional(map(string), {})
    slack_channel = optional(string)
    thresholds = optional(object({
      system_lag         = optional(number, 120)
      data_freshness     = optional(number, 300)
      backlog_age        = optional(number, 300)
      dead_letter_ratio  = optional(number, 0.05)
      unbalanced_records = optional(number, 50000)
      failed_loads       = optional(number, 5)
    }), {})
  })
  default  = {}
  nullable = false
}

variable "slack_token" {
  description = "Token of the Slack app; give it as TF_VAR_slack_token. It is not kept in the state."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.alerts.slack_channel == null || var.slack_token != null
    error_message = "Expected the token of the Slack app in TF_VAR_slack_token, since alerts has a slack_channel."
  }
}
