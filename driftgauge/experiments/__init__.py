"""Candidate models on live traffic: A/B tests, shadow tests, and what is decided about them."""
