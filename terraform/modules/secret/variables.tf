variable "project_id" {
  description = "Project of the secrets."
  type        = string
  nullable    = false
}

variable "regions" {
  description = "Regions that hold the values."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.regions) > 0
    error_message = "Expected at least one region."
  }
}

variable "labels" {
  description = "Labels of every secret."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "secrets" {
  description = <<-EOT
    Secrets by name, without their values: a value in Terraform would be in its state. `scripts/deploy secret` adds it.
    `iam` is role => {any key => member}. A destroyed version stays recoverable for `destroy_ttl`.
  EOT
  type = map(object({
    destroy_ttl         = optional(string, "604800s")
    deletion_protection = optional(bool, true)
    iam                 = optional(map(map(string)), {})
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.secrets) : can(regex("^[A-Za-z0-9_-]{1,255}$", name))])
    error_message = "Secrets: expected names of letters, digits, _ and -."
  }
}

variable "kms_key" {
  description = "Key of Cloud KMS that encrypts the values; null for Google's own."
  type        = string
  default     = null
}
