"""The spectrum tokenizer: spectra to codes, a codebook for each group."""
