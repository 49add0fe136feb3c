"""Output frames that an engine keeps ready with one clock, from the sizes of hop and block.

Compiled, as the callback lays its output out anew when a server changes its period.
"""

from __future__ import annotations

import math

from numba import njit

MIN_COMPUTE_SHARE = 0.75
"""Share of a hop's time that must lie between the call that completes it and the call that plays it: slack
makes it up."""

CHOSEN = -1
"""As `slack`: the engine chooses it."""


@njit(cache=True, nogil=True)
def chosen_slack(most: int, block: int) -> int:
    """Return the slack in frames for hops of `most` frames, where the user has not chosen it."""
    # The prefill grants one block. A call takes all of its block at once: of less than a whole
    # further block, some hops would profit and the worst would not.
    return (math.ceil(MIN_COMPUTE_SHARE * most / block) - 1) * block


@njit(cache=True, nogil=True)
def mismatch(hop: int, most: int, block: int, waiting: int) -> int:
    """Return the frames by which a hop can be complete before a call ends, at most.

    That is hop - gcd(hop, block) where hops and calls have begun together. A device that changes its block
    does so within a hop: `waiting` is the number of frames that any of its calls leaves for further hops.
    `hop` is 0 if the hops of the device side vary by a frame, with `most` frames at most.
    """
    if hop == 0:
        return most
    divisor, rest = block, hop
    while rest != 0:
        divisor, rest = rest, divisor % rest
    return hop - divisor + waiting % divisor


@njit(cache=True, nogil=True)
def prefill(hop: int, most: int, slack: int, block: int, waiting: int = 0) -> int:
    """Return the output frames that lie ready before the first input; `slack` in frames, or CHOSEN."""
    added = chosen_slack(most, block) if slack == CHOSEN else slack
    return block + mismatch(hop, most, block, waiting) + added
