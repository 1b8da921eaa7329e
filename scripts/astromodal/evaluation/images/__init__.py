"""Section of the report: the image tokenizer."""
