"""What a user configures: job files, connector URLs and their options, durations."""
