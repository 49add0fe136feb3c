"""Wake-up of a waiting thread by a thread that may not block: one primitive for each system.

| system | between threads | between processes | in |
| --- | --- | --- | --- |
| Linux | futex in plain memory | futex in shared memory | `wake_linux` (tested) |
| macOS | dispatch semaphore | short polls | `wake_darwin` (written, not run by our tests) |
| Windows | kernel semaphore | kernel semaphore by name | `wake_windows` (written, not run by our tests) |
| any | short polls | short polls | `wake_poll` (tested) |

Each module has compiled `post(handle)` and `wait(handle, timeout_ns, scratch)` and a Python class `Semaphore`
that owns the handle; a handle of 0 means short polls. A wait may return early: the caller checks the ring
again. `RTSEP_WAKE=poll` in the environment selects polls on any system.
"""

from __future__ import annotations

import os
import sys

if sys.platform == "linux":
    from rtsep.realtime.wake_linux import NAME, SHARED_BYTES, Semaphore, post, wait
elif sys.platform == "darwin":
    from rtsep.realtime.wake_darwin import NAME, SHARED_BYTES, Semaphore, post, wait  # type: ignore[assignment]
elif sys.platform == "win32":
    from rtsep.realtime.wake_windows import NAME, SHARED_BYTES, Semaphore, post, wait  # type: ignore[assignment]
else:
    from rtsep.realtime.wake_poll import NAME, SHARED_BYTES, Semaphore, post, wait

if os.environ.get("RTSEP_WAKE") == "poll":
    # Its handles are 0, which every system's post and wait treat as "poll": the compiled code stays the same,
    # because numba's cache ignores this choice.
    from rtsep.realtime.wake_poll import NAME, Semaphore  # type: ignore[assignment]

__all__ = ["NAME", "SCRATCH", "SHARED_BYTES", "Semaphore", "post", "wait"]

SCRATCH = 2
"""Number of int64 scratch slots for `wait`, owned by the waiting thread."""
