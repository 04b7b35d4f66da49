"""Constraints and the data-quality checks against them."""
