"""A running session as its surfaces see it, in this process or elsewhere."""
