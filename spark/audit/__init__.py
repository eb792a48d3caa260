"""The file audit in PySpark: reading, cleaning, the audit's tables, and the central table with its history."""
