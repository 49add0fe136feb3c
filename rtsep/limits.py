"""How much may be asked for: the bounds of rates, blocks, channels and names."""

from __future__ import annotations

LOWEST_RATE, HIGHEST_RATE = 8000, 384000  # Hz
SMALLEST_BLOCK, LARGEST_BLOCK = 16, 8192  # frames a call
MOST_SLACK = 65536  # frames
MOST_CHANNELS = 64
LONGEST_CLIENT_NAME = 32  # characters
