output "topics" {
  description = "Topic => its full name, projects/P/topics/T; dead-letter topics too."
  value = merge(
    { for name, topic in google_pubsub_topic.this : name => topic.id },
    { for topic in google_pubsub_topic.dead_letters : topic.name => topic.id },
  )
}

output "subscriptions" {
  description = "Subscription => its full name, projects/P/subscriptions/S; those of dead-letter topics too."
  value = merge(
    { for name, subscription in google_pubsub_subscription.this : name => subscription.id },
    { for subscription in google_pubsub_subscription.dead_letters : subscription.name => subscription.id },
  )
}
