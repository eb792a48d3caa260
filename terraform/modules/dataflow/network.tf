# Workers have no public address. Private Google Access leads them to Google's APIs and to nothing else, and Streaming
# Engine and Dataflow Shuffle keep workers from talking to each other, so no firewall rule is needed.

resource "google_compute_network" "this" {
  #checkov:skip=CKV2_GCP_18:Without a rule nothing may come in, which is what workers need.
  count = var.subnetwork == null ? 1 : 0

  project                 = var.project_id
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  count = var.subnetwork == null ? 1 : 0

  project                  = var.project_id
  region                   = var.region
  name                     = var.name
  network                  = google_compute_network.this[0].id
  ip_cidr_range            = var.subnetwork_range
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_15_MIN"
    flow_sampling        = 0.1
  }
}
