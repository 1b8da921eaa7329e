"""The image tokenizer: cutouts to latents, latents to codes, and back."""
