# One image launches the Flex Template and runs on its workers; a version of Sluice is a tag that never moves.

resource "google_artifact_registry_repository" "this" {
  #checkov:skip=CKV_GCP_84:The key is a variable, kms_key; without one, Google's own encrypts images, which hold no data and no secret.
  project       = var.project_id
  location      = var.region
  repository_id = var.name
  description   = "Images of Sluice."
  format        = "DOCKER"
  labels        = var.labels
  kms_key_name  = var.kms_key

  docker_config {
    immutable_tags = true
  }

  cleanup_policies {
    id     = "keep-the-last-versions"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }

  cleanup_policies {
    id     = "delete-old-versions"
    action = "DELETE"
    condition {
      older_than = "7776000s"
    }
  }
}

resource "google_artifact_registry_repository_iam_member" "this" {
  for_each = merge([
    for role, members in var.iam : {
      for key, member in members : "${role} ${key}" => { role = role, member = member }
    }
  ]...)

  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.this.name
  role       = each.value.role
  member     = each.value.member
}
