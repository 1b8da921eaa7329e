"""The scalar tokenizer: columns of numbers to codes of equal-mass bins."""
