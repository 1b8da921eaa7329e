"""Section of the report: the spectrum tokenizer on spectra."""
