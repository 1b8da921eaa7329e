"""What the model's predictions and embeddings are worth to an astronomer, beside simple rivals."""
