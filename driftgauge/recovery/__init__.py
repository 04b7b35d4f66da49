"""Baselines from Model Monitor's files alone, when the training data is gone."""
