"""Training data: readers of recordings, the cache, effects, and the mixtures drawn from them."""
