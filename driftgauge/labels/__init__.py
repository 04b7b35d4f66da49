"""Labels that arrive after the predictions they belong to: matched, joined, counted."""
