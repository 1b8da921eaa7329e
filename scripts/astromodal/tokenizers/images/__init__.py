"""The image tokenizer: cutouts to latents to codes."""
