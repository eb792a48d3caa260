"""What runs the jobs, dbt and Spark of a use case together."""
