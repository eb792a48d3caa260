# The history of the backend's events, copied to the bucket for raw files, replayed every night: what is new is loaded,
# the rest is found to be there.
#
#   terraform -chdir=terraform/examples/replay init
#   terraform -chdir=terraform/examples/replay apply -var project_id=… -var template=… -var image=…

module "sluice" {
  source = "../.."

  project_id = var.project_id
  region     = var.region

  topics   = {}
  datasets = { backend_events = { domains = ["backend_events"] } }

  replays = {
    sluice-replay = {
      template  = var.template
      image     = var.image
      schedule  = "0 3 * * *"
      time_zone = "Etc/UTC"
      parameters = {
        job          = "jobs/backend_events.yaml"
        source       = "gs://${var.project_id}-sluice-raw/history/**"
        files        = "gs://${var.project_id}-sluice-log/output"
        warehouse    = "bigquery://${var.project_id}/backend_events"
        dead_letters = "gs://${var.project_id}-sluice-dead-letters/dead_letters"
        quarantine   = "gs://${var.project_id}-sluice-quarantine/quarantine"
        privacy_key  = "projects/${var.project_id}/secrets/sluice-privacy-key"
      }
    }
  }
}

variable "template" {
  description = "Flex Template that `scripts/deploy template` wrote."
  type        = string
  nullable    = false
}

variable "image" {
  description = "Image that `scripts/deploy image` pushed."
  type        = string
  nullable    = false
}

output "deploy" {
  description = "What scripts/deploy needs to know."
  value       = module.sluice.deploy
}
