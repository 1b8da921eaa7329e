"""The survey's objects as a HATS catalogue: what the model says of each, by place on the sky."""
