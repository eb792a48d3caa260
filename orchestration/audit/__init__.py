"""The file audit on both sides: Sluice and dbt, and PySpark; and the comparison of what they compute."""
