"""Sluice: one Apache Beam graph from raw events to trusted tables."""
