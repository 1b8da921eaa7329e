"""Section of the report: predicted redshifts, stellar parameters and classes, and baselines."""
