# Live events of the shop's backend: one topic, the tables and views of their contracts, and a job that Terraform owns.
#
#   terraform -chdir=terraform/examples/backend_events init
#   terraform -chdir=terraform/examples/backend_events apply -var project_id=… -var template=… -var image=…

module "sluice" {
  source = "../.."

  project_id = var.project_id
  region     = var.region

  datasets = {
    backend_events = {
      domains        = ["backend_events"]
      shared         = { order_events = ["shipping_address"], inventory_events = [], user_activity_events = ["ip_address", "user_agent"] }
      shared_readers = keys(var.analysts)
      # Events are kept for ever, dead letters for a year.
      partition_expiration_days = { dead_letters = 365 }
    }
  }

  members     = var.analysts
  query_users = keys(var.analysts)
  alerts      = { emails = var.alert_emails }

  jobs = var.template == null ? {} : {
    sluice-backend-events = {
      template = var.template
      image    = var.image
      parameters = {
        job          = "jobs/backend_events.yaml"
        source       = "pubsub://projects/${var.project_id}/subscriptions/backend-events-topic-sub"
        files        = "gs://${var.project_id}-sluice-log/output"
        warehouse    = "bigquery://${var.project_id}/backend_events"
        dead_letters = "gs://${var.project_id}-sluice-dead-letters/dead_letters"
        quarantine   = "gs://${var.project_id}-sluice-quarantine/quarantine"
        privacy_key  = "projects/${var.project_id}/secrets/sluice-privacy-key"
      }
      max_workers = 5
    }
  }
}

variable "analysts" {
  description = "Who may query the shared views: any key => member."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "alert_emails" {
  description = "Addresses that alerts go to: any key => address."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "template" {
  description = "Flex Template that `scripts/deploy template` wrote; null for no job yet."
  type        = string
  default     = null
}

variable "image" {
  description = "Image that `scripts/deploy image` pushed; needed with `template`."
  type        = string
  default     = null
}

output "deploy" {
  description = "What scripts/deploy needs to know."
  value       = module.sluice.deploy
}
