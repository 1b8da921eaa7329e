"""Section of the report: the trained transformer."""
