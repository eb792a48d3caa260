variable "project_id" {
  description = "Project of the topics."
  type        = string
  nullable    = false
}

variable "labels" {
  description = "Labels of every topic and subscription."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "service_agent" {
  description = "Member of Pub/Sub's own service agent, which moves messages to dead-letter topics."
  type        = string
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether topics, subscriptions and schemas cannot be destroyed or replaced by Terraform."
  type        = bool
  default     = true
  nullable    = false
}

variable "schemas" {
  description = "Avro schemas as JSON, by the name that topics refer to."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([
      for name in keys(var.schemas) : can(regex("^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", name)) && !startswith(name, "goog")
    ])
    error_message = "Names of schemas: expected 3 to 255 letters, digits and -._~+%, beginning with a letter and not with goog."
  }
}

variable "topics" {
  description = <<-EOT
    Topics by name. `retention` lets a subscription seek back, also to before it existed; `regions` are where messages
    may rest; `iam` is role => {any key => member}. What a subscription that is not read by `dataflow` delivered
    `max_delivery_attempts` times in vain goes to `<topic>-dead-letters`, and its readers find it in the subscription
    `<topic>-dead-letters-sub`. Records that a contract refuses never get there; they are dead letters of the job.
    Messages that are not of the `schema`, in its `encoding` JSON or BINARY of Avro, are not published.
  EOT
  type = map(object({
    retention = optional(string, "604800s")
    regions   = optional(list(string), [])
    kms_key   = optional(string)
    iam       = optional(map(map(string)), {})
    schema    = optional(object({ name = string, encoding = optional(string, "JSON") }))
    subscriptions = optional(map(object({
      dataflow              = optional(bool, true)
      ack_deadline_seconds  = optional(number, 60)
      retention             = optional(string, "604800s")
      retain_acked_messages = optional(bool, false)
      filter                = optional(string)
      ordered               = optional(bool, false)
      minimum_backoff       = optional(string, "10s")
      maximum_backoff       = optional(string, "600s")
      max_delivery_attempts = optional(number, 100)
      iam                   = optional(map(map(string)), {})
    })), {})
  }))
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for name in flatten([for name, topic in var.topics : concat([name], keys(topic.subscriptions))]) :
      can(regex("^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", name)) && !startswith(name, "goog")
    ])
    error_message = "Names of topics and subscriptions: expected 3 to 255 letters, digits and -._~+%, beginning with a letter and not with goog."
  }

  validation {
    condition = alltrue(flatten([
      for topic in var.topics : [
        for duration in concat([topic.retention], [for each in topic.subscriptions : each.retention]) :
        can(regex("^[0-9]+s$", duration)) && try(tonumber(trimsuffix(duration, "s")), 0) >= 600 && try(tonumber(trimsuffix(duration, "s")), 0) <= 2678400
      ]
    ]))
    error_message = "Retention: expected seconds such as 604800s, from 600s to 2678400s (31 days)."
  }

  validation {
    condition = alltrue(flatten([
      for topic in var.topics : [
        for each in topic.subscriptions :
        each.max_delivery_attempts >= 5 && each.max_delivery_attempts <= 100 && each.ack_deadline_seconds >= 10 && each.ack_deadline_seconds <= 600
      ]
    ]))
    error_message = "Subscriptions: expected max_delivery_attempts from 5 to 100 and ack_deadline_seconds from 10 to 600."
  }

  validation {
    condition     = length(setsubtract(compact([for topic in var.topics : try(topic.schema.name, null)]), keys(var.schemas))) == 0
    error_message = "Topics: expected a schema of schemas, ${join(", ", keys(var.schemas))}; got ${join(", ", setsubtract(compact([for topic in var.topics : try(topic.schema.name, null)]), keys(var.schemas)))}."
  }

  validation {
    condition     = alltrue([for topic in var.topics : contains(["JSON", "BINARY"], try(topic.schema.encoding, "JSON"))])
    error_message = "Topics: expected a schema's encoding JSON or BINARY."
  }
}
