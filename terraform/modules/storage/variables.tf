variable "project_id" {
  description = "Project of the buckets."
  type        = string
  nullable    = false
}

variable "location" {
  description = "Region, dual-region or multi-region of the buckets."
  type        = string
  nullable    = false
}

variable "labels" {
  description = "Labels of every bucket."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "access_log_bucket" {
  description = "Existing bucket that keeps the usage logs of all buckets; null for none."
  type        = string
  default     = null
}

variable "buckets" {
  description = <<-EOT
    Buckets by any key. `name` is global. Of `retention_days` (nobody can delete or change an object so long) and
    `versioning` a bucket has at most one. `soft_delete_days`: 0, or 7 to 90. `iam` is role => {any key => member}.
    `lifecycle` moves objects to a colder `class`, or deletes them where there is none, when they are `age` days old.
    Who has a basic role on the project may read the objects of a bucket, unless it is `private`: then `iam` is all that
    is granted, and the project's owners may manage the bucket without reading it.
  EOT
  type = map(object({
    name             = string
    class            = optional(string, "STANDARD")
    versioning       = optional(bool, false)
    retention_days   = optional(number, 0)
    retention_locked = optional(bool, false)
    private          = optional(bool, false)
    soft_delete_days = optional(number, 7)
    kms_key          = optional(string)
    force_destroy    = optional(bool, false)
    lifecycle = optional(list(object({
      age    = number
      class  = optional(string)
      prefix = optional(list(string), [])
    })), [])
    iam = optional(map(map(string)), {})
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for bucket in var.buckets : can(regex("^[a-z0-9][a-z0-9_.-]{1,61}[a-z0-9]$", bucket.name))])
    error_message = "Buckets: expected names of 3 to 63 lower-case letters, digits and -_., which begin and end with a letter or digit."
  }

  validation {
    condition     = alltrue([for bucket in var.buckets : !(bucket.versioning && bucket.retention_days > 0)])
    error_message = "Buckets: expected versioning or retention_days, got both; Cloud Storage allows only one."
  }

  validation {
    condition     = alltrue([for bucket in var.buckets : bucket.soft_delete_days == 0 || (bucket.soft_delete_days >= 7 && bucket.soft_delete_days <= 90)])
    error_message = "Buckets: expected soft_delete_days 0, or from 7 to 90."
  }

  validation {
    condition     = alltrue(flatten([for bucket in var.buckets : [for rule in bucket.lifecycle : rule.age >= 1]]))
    error_message = "Buckets: expected lifecycle ages of at least one day."
  }
}
