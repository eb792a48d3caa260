"""Files as a source, on a local disk or in a bucket."""
