"""What owns a process: runners, workers, signals, the run folder, metrics, and the report at the end."""
