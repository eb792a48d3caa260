variable "project_id" {
  description = "Project of the service accounts."
  type        = string
  nullable    = false
}

variable "prefix" {
  description = "What the id of every service account begins with."
  type        = string
  default     = "sluice"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,14}$", var.prefix))
    error_message = "Expected at most 15 lower-case letters, digits and -, beginning with a letter."
  }
}

variable "accounts" {
  description = <<-EOT
    Service accounts by key; their id is `<prefix>-<key>`. `project_roles` are for permissions that only a project can
    grant; all else is granted at the resource, by its module. `users` (any key => member) may run work as the account,
    and so may `account_users`, keys of other accounts here.
    `workload_identities` (any key => principal:// or principalSet://) may act as it without a key.
  EOT
  type = map(object({
    description         = string
    project_roles       = optional(list(string), [])
    users               = optional(map(string), {})
    account_users       = optional(list(string), [])
    workload_identities = optional(map(string), {})
  }))
  nullable = false

  validation {
    condition     = alltrue([for key in keys(var.accounts) : can(regex("^[a-z][a-z0-9-]{1,13}[a-z0-9]$", key))])
    error_message = "Accounts: expected keys of 3 to 15 lower-case letters, digits and -."
  }

  validation {
    condition = alltrue(flatten([
      for account in var.accounts : [
        for role in account.project_roles :
        !contains(["roles/owner", "roles/editor", "roles/viewer"], role) && !can(regex("(?i)admin|roles/storage\\.|roles/iam\\.", role))
      ]
    ]))
    error_message = "Accounts: expected narrow project roles; owner, editor, viewer, and all of admin, storage and iam are refused. Grant them at a resource."
  }
}

variable "project_members" {
  description = "Roles of people and groups on the project: role => {any key => member}."
  type        = map(map(string))
  default     = {}
  nullable    = false
}

variable "github" {
  description = "Repository owner/name whose workflows, in `environment`, may act as `account`; null for none."
  type = object({
    repository  = string
    account     = string
    environment = optional(string, "production")
  })
  default = null

  validation {
    condition     = var.github == null || can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github.repository))
    error_message = "Expected repository as owner/name."
  }
}
