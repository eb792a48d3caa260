# The history of the backend's events, copied to the bucket for raw files, replayed every night: what is new is loaded,
# the rest is found to be there.
#
#   scripts/deploy apply -var-file=examples/replay.tfvars

topics   = {}
datasets = { backend_events = { domains = ["backend_events"] } }

replays = {
  sluice-replay = {
    version    = "v1.2.0"
    raw_files  = "history/**"
    dataset    = "backend_events"
    parameters = { job = "jobs/backend_events.yaml" }
    schedule   = "0 3 * * *"
  }
}
