"""The terminal view of a live session: meters, spectrogram and mask, hop times, controls."""
