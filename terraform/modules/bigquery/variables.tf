variable "project_id" {
  description = "Project of the dataset."
  type        = string
  nullable    = false
}

variable "dataset_id" {
  description = "Name of the dataset."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_]+$", var.dataset_id))
    error_message = "Expected letters, digits and _."
  }
}

variable "location" {
  description = "Region or multi-region of the dataset."
  type        = string
  nullable    = false
}

variable "description" {
  description = "What the dataset holds."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of the dataset, of its tables and of its views; a table's own labels come on top."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "time_travel_hours" {
  description = "How far back the dataset can be queried and restored as it was."
  type        = number
  default     = 168
  nullable    = false

  validation {
    condition     = contains([48, 72, 96, 120, 144, 168], var.time_travel_hours)
    error_message = "Expected two to seven days in hours: 48, 72, 96, 120, 144 or 168."
  }
}

variable "storage_billing_model" {
  description = "LOGICAL or PHYSICAL; PHYSICAL bills compressed bytes, but time travel too."
  type        = string
  default     = "LOGICAL"
  nullable    = false

  validation {
    condition     = contains(["LOGICAL", "PHYSICAL"], var.storage_billing_model)
    error_message = "Expected LOGICAL or PHYSICAL."
  }
}

variable "kms_key" {
  description = "Key of Cloud KMS for new tables; null for Google's own."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete tables and views, and the dataset while it holds any."
  type        = bool
  default     = true
  nullable    = false
}

variable "tables" {
  description = "Tables by name, each as BigQuery's table resource: the decoded JSON that `sluice generate` writes to ddl/bigquery."
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for table in var.tables : can(table.schema.fields[0].name)])
    error_message = "Tables: expected table resources with schema.fields, as in ddl/bigquery/*.json."
  }
}

variable "partition_expiration_days" {
  description = "Table => days after which its partitions are deleted; what is not named is kept."
  type        = map(number)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for days in var.partition_expiration_days : days >= 1])
    error_message = "Expected at least one day."
  }
}

variable "views" {
  description = "Views by name: a GoogleSQL `query` that names tables with project and dataset."
  type = map(object({
    query       = string
    description = optional(string)
  }))
  default  = {}
  nullable = false
}

variable "authorized_by" {
  description = "Datasets that all views of this one may read for people who may not: any key => dataset of this project."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "iam" {
  description = "Who may do what in the dataset: role => {any key => member}."
  type        = map(map(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for role in keys(var.iam) : !can(regex("(?i)admin|roles/owner|roles/editor", role))])
    error_message = "Expected roles such as roles/bigquery.dataViewer and dataEditor; owner, editor and admin are refused."
  }
}

variable "table_iam" {
  description = "Who may do what in a single table: table of `tables` => role => {any key => member}."
  type        = map(map(map(string)))
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.table_iam), keys(var.tables))) == 0
    error_message = "Table access: expected tables of the dataset, got ${join(", ", setsubtract(keys(var.table_iam), keys(var.tables)))}."
  }

  validation {
    condition     = alltrue([for role in flatten([for roles in var.table_iam : keys(roles)]) : !can(regex("(?i)admin|roles/owner|roles/editor", role))])
    error_message = "Table access: expected roles such as roles/bigquery.dataViewer; owner, editor and admin are refused."
  }
}
