"""Mutation tests find which small faults in a module its own tests miss."""
