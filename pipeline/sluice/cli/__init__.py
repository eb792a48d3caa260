"""The `sluice` command: one module for each group of commands, and the tables on the console. No logic."""
