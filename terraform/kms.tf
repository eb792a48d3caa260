# Google's services encrypt with the key as accounts of their own, which need it before the first object is made.
locals {
  # The accounts of all services are called after the number of the project, as this one is.
  project_number = var.kms_key == null ? "" : regex("service-([0-9]+)@", google_project_service_identity.pubsub.member)[0]

  agents = var.kms_key == null ? {} : {
    artifactregistry = "service-${local.project_number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
    bigquery         = "bq-${local.project_number}@bigquery-encryption.iam.gserviceaccount.com"
    compute          = "service-${local.project_number}@compute-system.iam.gserviceaccount.com"
    dataflow         = "service-${local.project_number}@dataflow-service-producer-prod.iam.gserviceaccount.com"
    pubsub           = "service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    run              = "service-${local.project_number}@serverless-robot-prod.iam.gserviceaccount.com"
    secretmanager    = "service-${local.project_number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
    storage          = "service-${local.project_number}@gs-project-accounts.iam.gserviceaccount.com"
  }
}

# Makes those accounts that are not there yet; Compute Engine's comes with its API.
resource "google_project_service_identity" "encrypting" {
  provider = google-beta
  for_each = var.kms_key == null ? toset([]) : toset(["artifactregistry", "dataflow", "run", "secretmanager"])

  project = var.project_id
  service = "${each.key}.googleapis.com"

  depends_on = [google_project_service.this]
}

resource "google_kms_crypto_key_iam_member" "agents" {
  for_each = local.agents

  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${each.value}"

  depends_on = [google_project_service_identity.encrypting]
}
