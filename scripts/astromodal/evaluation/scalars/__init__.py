"""Section of the report: the scalar tokenizer."""
