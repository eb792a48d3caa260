"""Contracts -> generated files: DDL, JSON Schema, Avro, dbt sources, ER diagram. Never used by workers."""
