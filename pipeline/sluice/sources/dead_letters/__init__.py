"""Dead letters as a source."""
