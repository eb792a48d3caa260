"""Sluice: one Apache Beam graph from raw events to trusted tables."""

__version__ = "0.1.0"
