"""Audits of a finished run: its files, its rows, and what differs from another run."""
