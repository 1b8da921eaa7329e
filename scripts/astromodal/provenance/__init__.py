"""What a result was made from: digests of code."""
