"""The C library's heap, in a program that plays for days.

glibc gives threads up to eight pools per core. Each helper thread of a session fills one of them, and freed
memory stays in its pool: memory that is not in use grows for hours, until all pools have seen the largest
work. With one pool, it stops growing after the first work of each kind. The audio path allocates nothing, so
its threads do not wait for this pool.
"""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8  # malloc.h of glibc


def use_one_pool() -> bool:
    """Let all threads of this process share one pool; return whether the C library can do that.

    Only pools that do not exist yet are avoided: call it first. It is a decision for a whole program, so a
    library must not make it.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1))
    except (AttributeError, OSError, TypeError):  # macOS, Windows; musl has one pool anyway
        return False
