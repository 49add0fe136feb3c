"""Output frames that an engine keeps ready with one clock, from the sizes of hop and block.

Compiled, because the callback recomputes its layout when a server changes its period.
"""

from __future__ import annotations

import math

from numba import njit

MIN_COMPUTE_SHARE = 0.75
"""Minimum share of a hop period left for computing. Slack is added until it is reached."""

CHOSEN = -1
"""Value of `slack` for an automatic choice."""


@njit(cache=True, nogil=True)
def chosen_slack(max_frames: int, block: int) -> int:
    """Return the automatic slack in frames for hops of `max_frames` frames."""
    # The prefill already gives one block. A call takes its whole block at once, so less than another whole
    # block would help some hops, but not the worst one.
    return (math.ceil(MIN_COMPUTE_SHARE * max_frames / block) - 1) * block


@njit(cache=True, nogil=True)
def mismatch(hop: int, max_frames: int, block: int, waiting: int) -> int:
    """Return the maximum number of frames by which a hop can be complete before a call ends.

    That is hop - gcd(hop, block) if hops and calls started together. A device that changes its block does so
    within a hop: `waiting` is the number of frames that any of its calls leaves for later hops. `hop` is 0 if
    the hops at the device's rate vary by one frame, with `max_frames` frames at most.
    """
    if hop == 0:
        return max_frames
    divisor, rest = block, hop
    while rest != 0:
        divisor, rest = rest, divisor % rest
    return hop - divisor + waiting % divisor


@njit(cache=True, nogil=True)
def prefill(hop: int, max_frames: int, slack: int, block: int, waiting: int = 0) -> int:
    """Return the output frames that are ready before the first input; `slack` in frames, or CHOSEN."""
    added = chosen_slack(max_frames, block) if slack == CHOSEN else slack
    return block + mismatch(hop, max_frames, block, waiting) + added
