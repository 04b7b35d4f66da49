"""Retraining: labelled datasets, the built-in trainer, champion against challenger."""
