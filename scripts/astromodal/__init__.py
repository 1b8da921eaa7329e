"""astromodal: astronomical datacubes into tokens, and a transformer trained on them."""

__version__ = "0.1.0"
