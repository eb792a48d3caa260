"""The use cases as flows of Prefect."""
