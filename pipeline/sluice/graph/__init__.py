"""The Beam graph: `build` shows it whole; each other module is one of its steps."""
