"""Google Pub/Sub as a source."""
