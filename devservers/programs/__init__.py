"""Programs that servers run as processes of their own, some with the interpreter of another environment."""
