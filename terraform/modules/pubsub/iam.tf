locals {
  topic_iam = merge([
    for topic, settings in var.topics : merge([
      for role, members in settings.iam : {
        for key, member in members : "${topic} ${role} ${key}" => { topic = topic, role = role, member = member }
      }
    ]...)
  ]...)

  subscription_iam = merge([
    for name, settings in local.subscriptions : merge([
      for role, members in settings.iam : {
        for key, member in members : "${name} ${role} ${key}" => { subscription = name, role = role, member = member }
      }
    ]...)
  ]...)
}

resource "google_pubsub_topic_iam_member" "this" {
  for_each = local.topic_iam

  project = var.project_id
  topic   = google_pubsub_topic.this[each.value.topic].name
  role    = each.value.role
  member  = each.value.member
}

resource "google_pubsub_subscription_iam_member" "this" {
  for_each = local.subscription_iam

  project      = var.project_id
  subscription = google_pubsub_subscription.this[each.value.subscription].name
  role         = each.value.role
  member       = each.value.member
}

# Pub/Sub forwards to the dead-letter topic, and acknowledges what it forwarded, as its own service agent.

resource "google_pubsub_topic_iam_member" "forward" {
  for_each = local.dead_letter_topics

  project = var.project_id
  topic   = google_pubsub_topic.dead_letters[each.key].name
  role    = "roles/pubsub.publisher"
  member  = var.service_agent
}

resource "google_pubsub_subscription_iam_member" "forward" {
  for_each = local.forwarding

  project      = var.project_id
  subscription = google_pubsub_subscription.this[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = var.service_agent
}

# The way back: who reads a subscription may also read what was forwarded from it.
resource "google_pubsub_subscription_iam_member" "dead_letters" {
  for_each = {
    for key, grant in local.subscription_iam : key => merge(grant, { topic = local.subscriptions[grant.subscription].topic })
    if contains(keys(local.forwarding), grant.subscription)
  }

  project      = var.project_id
  subscription = google_pubsub_subscription.dead_letters[each.value.topic].name
  role         = each.value.role
  member       = each.value.member
}

# Dataflow looks at the topic of a subscription that it reads, also on this way.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  for_each = {
    for key, grant in local.topic_iam : key => grant
    if grant.role == "roles/pubsub.viewer" && contains(keys(local.dead_letter_topics), grant.topic)
  }

  project = var.project_id
  topic   = google_pubsub_topic.dead_letters[each.value.topic].name
  role    = each.value.role
  member  = each.value.member
}
