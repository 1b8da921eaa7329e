"""What each part of the training buys: variants of it, compared object by object."""
