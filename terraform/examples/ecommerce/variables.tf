variable "project_id" {
  description = "Project that everything lies in."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "europe-west1"
  nullable    = false
}
