"""What the model's embeddings keep of a source, and of the field that it was observed in."""
