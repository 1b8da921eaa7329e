"""Section of the report: the spectrum tokenizer on light curves."""
