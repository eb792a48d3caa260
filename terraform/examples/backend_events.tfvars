# Live events of the shop's backend: one topic, the tables and views of their contracts, and a streaming job that Terraform
# owns. Leave `jobs` out of the first apply: it needs the image and the template of its version.
#
#   scripts/deploy apply -var-file=examples/backend_events.tfvars

datasets = {
  backend_events = {
    description    = "Trusted events of the shop's backend."
    domains        = ["backend_events"]
    tables         = ["canary_events"]
    shared         = { order_events = ["shipping_address"], inventory_events = [], user_activity_events = ["ip_address", "user_agent"] }
    shared_readers = ["analysts"]
    # Events are kept for ever, dead letters for a year.
    partition_expiration_days = { dead_letters = 365 }
  }
}

members     = { analysts = "group:analysts@example.com" }
query_users = ["analysts"]
alerts      = { emails = { oncall = "oncall@example.com" } }

jobs = {
  sluice-backend-events = {
    version      = "v1.2.0"
    subscription = "backend-events-topic-sub"
    dataset      = "backend_events"
    parameters   = { job = "jobs/backend_events.yaml" }
    max_workers  = 5
  }
}
