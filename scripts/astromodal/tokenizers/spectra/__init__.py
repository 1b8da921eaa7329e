"""The spectrum tokenizer: spectra and light curves to codes, one codebook per group."""
