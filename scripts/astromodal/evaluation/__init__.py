"""Evaluation: how well tokens and model keep the measurements, in one report."""
