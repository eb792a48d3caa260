variable "project_id" {
  description = "Project of the jobs."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of the jobs and of their schedules."
  type        = string
  nullable    = false
}

variable "labels" {
  description = "Labels of every job."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "kms_key" {
  description = "Key of Cloud KMS that encrypts the images of jobs; null for Google's own."
  type        = string
  default     = null
}

variable "subnetwork" {
  description = "Subnetwork that all traffic of the jobs goes through, as regions/R/subnetworks/S; null for Google's own network."
  type        = string
  default     = null
}

variable "scheduler_service_account" {
  description = "E-mail address of the account that starts jobs; needed if one has a schedule."
  type        = string
  default     = null

  validation {
    condition     = var.scheduler_service_account != null || alltrue([for job in var.jobs : job.schedule == null])
    error_message = "Jobs with a schedule: expected scheduler_service_account, got null."
  }
}

variable "jobs" {
  description = <<-EOT
    Jobs by name. `args` go to the image's entry point, or to `command` if it is given; the job runs as
    `service_account` (an e-mail address). `secrets` (environment variable => name of a secret of Secret Manager) are
    read when the job starts. With a `schedule`, which is cron in `time_zone`, Cloud Scheduler starts it; without one
    `gcloud run jobs execute` does. A run that fails, or takes longer than `timeout_seconds`, is tried `max_retries`
    times again. `memory` also holds the files that a run writes.
  EOT
  type = map(object({
    image           = string
    service_account = string
    command         = optional(list(string))
    args            = optional(list(string), [])
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
    condition     = alltrue([for name in keys(var.jobs) : can(regex("^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", name))])
    error_message = "Jobs: expected names of at most 63 lower-case letters, digits and -, beginning with a letter."
  }

  validation {
    condition     = alltrue([for job in var.jobs : job.schedule == null || length(split(" ", coalesce(job.schedule, "-"))) == 5])
    error_message = "Jobs: expected a cron schedule of five fields, such as 0 3 * * *."
  }

  validation {
    condition     = alltrue([for job in var.jobs : job.timeout_seconds >= 1 && job.timeout_seconds <= 604800 && job.max_retries >= 0 && job.max_retries <= 10])
    error_message = "Jobs: expected timeout_seconds from 1 to 604800 (seven days) and max_retries from 0 to 10."
  }

  validation {
    condition     = alltrue([for job in var.jobs : length(setintersection(keys(job.env), keys(job.secrets))) == 0])
    error_message = "Jobs: expected every environment variable in env or in secrets, got one in both."
  }
}
