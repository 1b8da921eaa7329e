"""What the model reconstructs of an object's blocks from its other blocks."""
