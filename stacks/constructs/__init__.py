"""The constructs the stacks are composed of."""
