locals {
  subscriptions = merge([
    for topic, settings in var.topics : {
      for name, subscription in settings.subscriptions :
      name => merge(subscription, { topic = topic })
    }
  ]...)

  # Dataflow supports neither a dead-letter topic nor a retry policy: it acknowledges what it has read, and a worker's
  # failure is no failed delivery.
  forwarding         = { for name, subscription in local.subscriptions : name => subscription if !subscription.dataflow }
  dead_letter_topics = { for name, topic in var.topics : name => topic if anytrue([for each in topic.subscriptions : !each.dataflow]) }

  # Google has no switch that protects a topic or a subscription. The provider has one, which also refuses to replace them.
  deletion_policy = var.deletion_protection ? "PREVENT" : "DELETE"
}

resource "google_pubsub_schema" "this" {
  for_each = var.schemas

  project         = var.project_id
  name            = each.key
  type            = "AVRO"
  definition      = each.value
  deletion_policy = local.deletion_policy
}

resource "google_pubsub_topic" "this" {
  for_each = var.topics

  project                    = var.project_id
  name                       = each.key
  labels                     = var.labels
  kms_key_name               = each.value.kms_key
  message_retention_duration = each.value.retention
  deletion_policy            = local.deletion_policy

  dynamic "message_storage_policy" {
    for_each = length(each.value.regions) > 0 ? [each.value.regions] : []
    content {
      allowed_persistence_regions = message_storage_policy.value
    }
  }

  dynamic "schema_settings" {
    for_each = each.value.schema == null ? [] : [each.value.schema]
    content {
      schema   = google_pubsub_schema.this[schema_settings.value.name].id
      encoding = schema_settings.value.encoding
    }
  }
}

resource "google_pubsub_subscription" "this" {
  for_each = local.subscriptions

  project                    = var.project_id
  name                       = each.key
  topic                      = google_pubsub_topic.this[each.value.topic].id
  labels                     = var.labels
  ack_deadline_seconds       = each.value.ack_deadline_seconds
  message_retention_duration = each.value.retention
  retain_acked_messages      = each.value.retain_acked_messages
  filter                     = each.value.filter
  enable_message_ordering    = each.value.ordered
  deletion_policy            = local.deletion_policy

  # A subscription of a job that is down for a month must still be there.
  expiration_policy {
    ttl = ""
  }

  dynamic "retry_policy" {
    for_each = each.value.dataflow ? [] : [each.value]
    content {
      minimum_backoff = retry_policy.value.minimum_backoff
      maximum_backoff = retry_policy.value.maximum_backoff
    }
  }

  dynamic "dead_letter_policy" {
    for_each = each.value.dataflow ? [] : [each.value]
    content {
      dead_letter_topic     = google_pubsub_topic.dead_letters[dead_letter_policy.value.topic].id
      max_delivery_attempts = dead_letter_policy.value.max_delivery_attempts
    }
  }
}

resource "google_pubsub_topic" "dead_letters" {
  for_each = local.dead_letter_topics

  project                    = var.project_id
  name                       = "${each.key}-dead-letters"
  labels                     = var.labels
  kms_key_name               = each.value.kms_key
  message_retention_duration = "2678400s"
  deletion_policy            = local.deletion_policy

  dynamic "message_storage_policy" {
    for_each = length(each.value.regions) > 0 ? [each.value.regions] : []
    content {
      allowed_persistence_regions = message_storage_policy.value
    }
  }
}

resource "google_pubsub_subscription" "dead_letters" {
  for_each = local.dead_letter_topics

  project                    = var.project_id
  name                       = "${each.key}-dead-letters-sub"
  topic                      = google_pubsub_topic.dead_letters[each.key].id
  labels                     = var.labels
  message_retention_duration = "2678400s"
  deletion_policy            = local.deletion_policy

  expiration_policy {
    ttl = ""
  }
}
