"""Primitives that run without the GIL: atomics, the clock, wake-ups, memory shared with the model process."""
