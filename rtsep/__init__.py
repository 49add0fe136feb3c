"""rtsep: live vocal separation."""
