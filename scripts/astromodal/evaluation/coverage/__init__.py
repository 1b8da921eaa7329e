"""Section of the report: which objects have which measurements."""
