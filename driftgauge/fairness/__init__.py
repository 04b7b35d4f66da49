"""Bias: whether labels and predictions treat groups of people alike, and whether that changed."""
