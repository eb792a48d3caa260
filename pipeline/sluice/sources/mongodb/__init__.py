"""A MongoDB collection as a source."""
