variable "project_id" {
  description = "Project that is watched."
  type        = string
  nullable    = false
}

variable "name" {
  description = "What policies, the dashboard and the log-based metric are called after."
  type        = string
  default     = "sluice"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9_-]*$", var.name))
    error_message = "Expected lower-case letters, digits, _ and -, beginning with a letter."
  }
}

variable "labels" {
  description = "User labels of every alert policy."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "jobs" {
  description = "Dataflow jobs that are watched: a regular expression (RE2) for their whole name."
  type        = string
  default     = "sluice-.*"
  nullable    = false

  validation {
    condition     = !can(regex("[\"\\\\]", var.jobs))
    error_message = "Expected a regular expression without quotes and backslashes."
  }
}

variable "subscriptions" {
  description = "Subscriptions whose backlog is watched."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "forwarding" {
  description = "Those of them that forward what cannot be delivered to a dead-letter topic."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "loader" {
  description = "E-mail address of the account whose failed BigQuery loads are counted."
  type        = string
  nullable    = false
}

variable "emails" {
  description = "Addresses that alerts go to: any key => address."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for address in var.emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "Expected e-mail addresses."
  }
}

variable "slack_channel" {
  description = "Slack channel that alerts go to, such as #data; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.slack_channel == null || startswith(coalesce(var.slack_channel, "#"), "#")
    error_message = "Expected a channel that begins with #."
  }

  validation {
    condition     = var.slack_channel == null || var.slack_token != null
    error_message = "Expected slack_token with slack_channel, got null."
  }
}

variable "slack_token" {
  description = "Token of the Slack app; it is handed over and not kept in the state."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "slack_token_version" {
  description = "Raise it when the token has changed."
  type        = number
  default     = 1
  nullable    = false
}

variable "thresholds" {
  description = <<-EOT
    When to alert. Lags and ages are in seconds; `dead_letter_ratio` is the part of all records of 10 minutes that was
    rejected; `unbalanced_records` is how many records may be on their way at the quietest moment of an hour, which is
    about events per second times the seconds from reading to loading; `failed_loads` is per 10 minutes.
  EOT
  type = object({
    system_lag         = optional(number, 120)
    data_freshness     = optional(number, 300)
    backlog_age        = optional(number, 300)
    dead_letter_ratio  = optional(number, 0.05)
    unbalanced_records = optional(number, 50000)
    failed_loads       = optional(number, 5)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for value in values(var.thresholds) : value >= 0]) && var.thresholds.dead_letter_ratio <= 1
    error_message = "Expected thresholds of at least 0, and a dead_letter_ratio of at most 1."
  }
}
