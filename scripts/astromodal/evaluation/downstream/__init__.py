"""Section of the report: predicted labels, beside probes and baselines."""
