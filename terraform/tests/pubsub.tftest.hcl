mock_provider "google" {}

variables {
  project_id    = "shop-prod-1"
  service_agent = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
  schemas       = { "backend_events.order" = file("../schemas/backend_events/avro/order.avsc") }
  topics = {
    backend-events-topic = {
      regions = ["europe-west1"]
      iam = {
        "roles/pubsub.publisher" = { publisher = "serviceAccount:p@shop-prod-1.iam.gserviceaccount.com" }
        "roles/pubsub.viewer"    = { pipeline = "serviceAccount:s@shop-prod-1.iam.gserviceaccount.com" }
      }
      subscriptions = { prism-sub = { dataflow = false, iam = { "roles/pubsub.subscriber" = { pipeline = "serviceAccount:s@shop-prod-1.iam.gserviceaccount.com" } } } }
    }
    for-avro = { schema = { name = "backend_events.order", encoding = "BINARY" } }
    plain    = { subscriptions = { dataflow-sub = { iam = { "roles/pubsub.subscriber" = { pipeline = "serviceAccount:s@shop-prod-1.iam.gserviceaccount.com" } } } } }
  }
}

run "topics" {
  command = apply

  module {
    source = "./modules/pubsub"
  }

  assert {
    condition     = google_pubsub_topic.this["backend-events-topic"].message_storage_policy[0].allowed_persistence_regions == toset(["europe-west1"])
    error_message = "Expected messages to stay in europe-west1."
  }

  assert {
    condition     = length(google_pubsub_topic.this["plain"].message_storage_policy) == 0
    error_message = "Expected no storage policy without regions."
  }

  assert {
    condition     = google_pubsub_topic.this["backend-events-topic"].message_retention_duration == "604800s"
    error_message = "Expected seven days of retention."
  }

  assert {
    condition     = keys(google_pubsub_topic.dead_letters) == ["backend-events-topic"]
    error_message = "Expected a dead-letter topic for backend-events-topic alone."
  }

  assert {
    condition = (
      google_pubsub_subscription.this["prism-sub"].dead_letter_policy[0].max_delivery_attempts == 100 &&
      google_pubsub_subscription.this["prism-sub"].dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_letters["backend-events-topic"].id
    )
    error_message = "Expected a hundred attempts, then backend-events-topic-dead-letters."
  }

  assert {
    condition = (
      google_pubsub_subscription.this["prism-sub"].retry_policy[0].minimum_backoff == "10s" &&
      google_pubsub_subscription.this["prism-sub"].expiration_policy[0].ttl == ""
    )
    error_message = "Expected retries with back-off, and a subscription that never expires."
  }

  assert {
    condition = (
      length(google_pubsub_subscription.this["dataflow-sub"].dead_letter_policy) == 0 &&
      length(google_pubsub_subscription.this["dataflow-sub"].retry_policy) == 0 &&
      google_pubsub_subscription.this["dataflow-sub"].expiration_policy[0].ttl == ""
    )
    error_message = "Expected neither a dead-letter topic nor a retry policy where Dataflow reads."
  }

  assert {
    condition     = keys(google_pubsub_subscription_iam_member.dead_letters) == ["prism-sub roles/pubsub.subscriber pipeline"]
    error_message = "Expected that who reads prism-sub may read what was forwarded, too."
  }

  assert {
    condition     = keys(google_pubsub_topic_iam_member.dead_letters) == ["backend-events-topic roles/pubsub.viewer pipeline"]
    error_message = "Expected that the pipeline may look at the dead-letter topic."
  }

  assert {
    condition = {
      for key, grant in google_pubsub_topic_iam_member.this : key => grant.member
      } == {
      "backend-events-topic roles/pubsub.publisher publisher" = "serviceAccount:p@shop-prod-1.iam.gserviceaccount.com"
      "backend-events-topic roles/pubsub.viewer pipeline"     = "serviceAccount:s@shop-prod-1.iam.gserviceaccount.com"
    }
    error_message = "Expected one publisher and one viewer."
  }

  assert {
    condition = (
      google_pubsub_topic_iam_member.forward["backend-events-topic"].role == "roles/pubsub.publisher" &&
      google_pubsub_topic_iam_member.forward["backend-events-topic"].member == var.service_agent &&
      google_pubsub_subscription_iam_member.forward["prism-sub"].role == "roles/pubsub.subscriber"
    )
    error_message = "Expected that Pub/Sub may forward to the dead-letter topic."
  }

  assert {
    condition = alltrue(concat(
      [for each in google_pubsub_topic.this : each.deletion_policy == "PREVENT"],
      [for each in google_pubsub_subscription.this : each.deletion_policy == "PREVENT"],
      [for each in google_pubsub_topic.dead_letters : each.deletion_policy == "PREVENT"],
      [for each in google_pubsub_subscription.dead_letters : each.deletion_policy == "PREVENT"],
      [for each in google_pubsub_schema.this : each.deletion_policy == "PREVENT"],
    ))
    error_message = "Expected that nothing of Pub/Sub can be destroyed."
  }

  assert {
    condition = (
      google_pubsub_schema.this["backend_events.order"].type == "AVRO" &&
      google_pubsub_schema.this["backend_events.order"].definition == var.schemas["backend_events.order"]
    )
    error_message = "Expected the schema as it is given."
  }

  assert {
    condition = (
      google_pubsub_topic.this["for-avro"].schema_settings[0].schema == google_pubsub_schema.this["backend_events.order"].id &&
      google_pubsub_topic.this["for-avro"].schema_settings[0].encoding == "BINARY" &&
      length(google_pubsub_topic.this["plain"].schema_settings) == 0
    )
    error_message = "Expected a schema of the topic for-avro alone."
  }
}

run "teardown" {
  command = plan

  module {
    source = "./modules/pubsub"
  }

  variables {
    deletion_protection = false
  }

  assert {
    condition = alltrue(concat(
      [for each in google_pubsub_topic.this : each.deletion_policy == "DELETE"],
      [for each in google_pubsub_subscription.this : each.deletion_policy == "DELETE"],
      [for each in google_pubsub_topic.dead_letters : each.deletion_policy == "DELETE"],
      [for each in google_pubsub_subscription.dead_letters : each.deletion_policy == "DELETE"],
      [for each in google_pubsub_schema.this : each.deletion_policy == "DELETE"],
    ))
    error_message = "Expected that all of Pub/Sub can be destroyed."
  }
}

run "a_schema_of_nobody" {
  command = plan

  module {
    source = "./modules/pubsub"
  }

  variables {
    topics = { t01 = { schema = { name = "order" } } }
  }

  expect_failures = [var.topics]
}

run "an_encoding_of_nobody" {
  command = plan

  module {
    source = "./modules/pubsub"
  }

  variables {
    topics = { t01 = { schema = { name = "backend_events.order", encoding = "XML" } } }
  }

  expect_failures = [var.topics]
}

run "a_schema_named_by_google" {
  command = plan

  module {
    source = "./modules/pubsub"
  }

  variables {
    schemas = { google-order = "{}" }
    topics  = {}
  }

  expect_failures = [var.schemas]
}

run "retention_without_a_unit" {
  command = plan

  module {
    source = "./modules/pubsub"
  }

  variables {
    topics = { t01 = { retention = "7d" } }
  }

  expect_failures = [var.topics]
}

run "too_few_attempts" {
  command = plan

  module {
    source = "./modules/pubsub"
  }

  variables {
    topics = { t01 = { subscriptions = { s01 = { max_delivery_attempts = 4 } } } }
  }

  expect_failures = [var.topics]
}
