"""Columns to mergeable profiles, and their serialisation."""
