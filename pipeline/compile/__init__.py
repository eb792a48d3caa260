"""Contracts compiled to what decodes, explains, types and stores their events."""
