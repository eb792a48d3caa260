module "pubsub" {
  source = "./modules/pubsub"

  project_id          = var.project_id
  labels              = var.labels
  service_agent       = google_project_service_identity.pubsub.member
  deletion_protection = var.deletion_protection
  schemas             = local.schemas

  topics = {
    for name, topic in var.topics : name => {
      retention = topic.retention
      regions   = [var.region]
      kms_key   = var.kms_key
      schema    = topic.schema == null ? null : { name = replace(topic.schema.contract, "/", "."), encoding = topic.schema.encoding }
      iam = {
        # A release sends its canary where a job reads.
        "roles/pubsub.publisher" = {
          for key in distinct(concat(topic.publishers, contains(local.read_topics, name) ? ["deployer"] : [])) : key => local.members[key]
        }
        # Dataflow looks at the topic of a subscription that it reads.
        "roles/pubsub.viewer" = { pipeline = local.members["pipeline"] }
      }
      subscriptions = {
        for subscription, settings in topic.subscriptions : subscription => {
          dataflow              = settings.dataflow
          ack_deadline_seconds  = settings.ack_deadline_seconds
          retention             = settings.retention
          retain_acked_messages = settings.retain_acked_messages
          max_delivery_attempts = settings.max_delivery_attempts
          iam = {
            "roles/pubsub.subscriber" = { for key in settings.subscribers : key => local.members[key] }
            # A release finds the topic of the job that it started by its subscription.
            "roles/pubsub.viewer" = {
              for key in distinct(concat(settings.subscribers, settings.dataflow && contains(settings.subscribers, "pipeline") ? ["deployer"] : [])) : key => local.members[key]
            }
          }
        }
      }
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}
