"""Commands that need no graph: lint, compatibility, tables, publish, fake events."""
