"""Data: readers of recordings, the cache, synthetic leads, effects, and the mixtures drawn from them."""
