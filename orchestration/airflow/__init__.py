"""The use cases as DAGs of Airflow."""
