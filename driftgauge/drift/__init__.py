"""Distances, calibrated tests and the decision on a window."""
