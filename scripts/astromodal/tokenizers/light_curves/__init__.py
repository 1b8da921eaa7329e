"""Tokens of light curves: epochs to codes."""
