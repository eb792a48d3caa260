variable "project_id" {
  description = "Project of the jobs."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of jobs, images and network."
  type        = string
  nullable    = false
}

variable "name" {
  description = "Name of the image repository and of the network."
  type        = string
  default     = "sluice"
  nullable    = false
}

variable "labels" {
  description = "Labels of repository and jobs."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "service_account" {
  description = "E-mail address of the account that workers run as."
  type        = string
  nullable    = false
}

variable "temp_url" {
  description = "gs:// folder for Dataflow's temporary and staged files."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.temp_url, "gs://")
    error_message = "Expected gs://bucket or gs://bucket/folder."
  }
}

variable "subnetwork" {
  description = "Existing subnetwork with Private Google Access, as regions/R/subnetworks/S; null makes a network for the workers alone."
  type        = string
  default     = null
}

variable "subnetwork_range" {
  description = "Addresses of the subnetwork that is made; a worker takes one."
  type        = string
  default     = "10.128.0.0/22"
  nullable    = false
}

variable "iam" {
  description = "Who may do what with images: role => {any key => member}."
  type        = map(map(string))
  default     = {}
  nullable    = false
}

variable "jobs" {
  description = <<-EOT
    Long-running jobs by name, started from the Flex Template at `template`. `parameters` are those of metadata.json.
    Another template or parameter updates a running job in place; -replace drains it and starts a new one.
  EOT
  type = map(object({
    template               = string
    image                  = string
    parameters             = map(string)
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
    condition     = alltrue([for name in keys(var.jobs) : can(regex("^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", name))])
    error_message = "Jobs: expected names of lower-case letters, digits and -, beginning with a letter."
  }

  validation {
    condition     = alltrue([for job in var.jobs : job.num_workers >= 1 && job.num_workers <= job.max_workers && job.max_workers <= 1000])
    error_message = "Jobs: expected 1 <= num_workers <= max_workers <= 1000."
  }

  validation {
    condition     = alltrue([for job in var.jobs : contains(["drain", "cancel"], job.on_delete)])
    error_message = "Jobs: expected on_delete drain or cancel."
  }

  validation {
    condition     = alltrue([for job in var.jobs : startswith(job.template, "gs://")])
    error_message = "Jobs: expected a template at gs://bucket/…/VERSION.json."
  }
}

variable "replays" {
  description = <<-EOT
    Batch jobs that Cloud Scheduler starts from a Flex Template, by name: `schedule` is cron in `time_zone`. Running one
    twice doubles nothing, so a failed start is simply tried again.
  EOT
  type = map(object({
    template     = string
    image        = string
    parameters   = map(string)
    schedule     = string
    time_zone    = optional(string, "Etc/UTC")
    paused       = optional(bool, false)
    max_workers  = optional(number, 10)
    machine_type = optional(string, "n2-standard-2")
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for replay in var.replays : length(split(" ", replay.schedule)) == 5])
    error_message = "Replays: expected a cron schedule of five fields, such as 0 3 * * *."
  }
}

variable "scheduler_service_account" {
  description = "E-mail address of the account that starts replays; needed with `replays`."
  type        = string
  default     = null
}

variable "kms_key" {
  description = "Key of Cloud KMS that encrypts images and what is in jobs; null for Google's own."
  type        = string
  default     = null
}
