"""A paged JSON API as a source."""
