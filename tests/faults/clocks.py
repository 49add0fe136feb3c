"""A session whose clocks the program sets: suspended for an hour, the time of day set back and forth.

Run as `python -m tests.faults.clocks MODEL`; prints a line for each fault that it has passed. The system's
clocks are never touched: in this process, compiled code and Python read them through functions that add an
offset.
"""

from __future__ import annotations

import ctypes
import sys
import time

from rtsep.compiled import use_cache

use_cache()  # before anything imports numba

import llvmlite.binding  # noqa: E402
import numpy as np  # noqa: E402
from numba import carray, cfunc, types  # noqa: E402

from rtsep.realtime.atomics import as_pointer  # noqa: E402

MONOTONIC, REALTIME = 1, 0
NS = 1_000_000_000

offsets = np.zeros(2, np.int64)  # ns, by clock
_OFFSETS = int(offsets.ctypes.data)
_libc = ctypes.CDLL(None)


def _address(name: str) -> int:
    found = ctypes.cast(getattr(_libc, name), ctypes.c_void_p).value
    assert found
    return found


llvmlite.binding.add_symbol("faults_clock_gettime", _address("clock_gettime"))
_clock_gettime = types.ExternalFunction("faults_clock_gettime", types.int32(types.int32, types.voidptr))


@cfunc(types.int32(types.int32, types.voidptr))
def clock_gettime(clock, found):  # type: ignore[no-untyped-def]
    """Add our offset to the system's time."""
    answer = _clock_gettime(clock, found)
    time_spec = carray(found, (2,), np.int64)
    ours = carray(as_pointer(_OFFSETS), (2,), np.int64)
    nanoseconds = time_spec[1] + ours[np.int64(clock)]
    time_spec[0] += nanoseconds // NS
    time_spec[1] = nanoseconds % NS
    return answer


def take_over() -> None:
    """Have all of this process read the clocks with our offsets, before rtsep compiles or loads anything."""
    llvmlite.binding.add_symbol("clock_gettime", clock_gettime.address)
    monotonic_ns, time_ns = time.monotonic_ns, time.time_ns
    time.monotonic_ns = lambda: monotonic_ns() + int(offsets[MONOTONIC])
    time.monotonic = lambda: time.monotonic_ns() / NS
    time.time_ns = lambda: time_ns() + int(offsets[REALTIME])
    time.time = lambda: time.time_ns() / NS


def main(model: str) -> None:
    """Play, and let the faults happen one after the other."""
    take_over()
    from pathlib import Path

    import pytest

    from tests.faults.box import Box
    from tests.faults.causes import model_killed
    from tests.faults.rig import FaultRig
    from tests.faults.table import DIED, MODEL_OUT

    box = Box()
    with pytest.MonkeyPatch.context() as patch:
        box.put_in(patch)
        with FaultRig(box, Path(model)) as rig:
            for seconds in (10, 3600):

                def suspended(rig: FaultRig, seconds: int = seconds) -> None:
                    offsets[MONOTONIC] += seconds * NS
                    rig.play_for(0.5)

                said = rf"^stopped for {seconds}\.\d s, as by Ctrl-Z or a paused container; the input"
                rig.put_to(suspended, said=[said])
                print(f"suspended for {seconds} s", flush=True)
            for hours in (-1, 1):

                def set_back_or_forth(rig: FaultRig, hours: int = hours) -> None:
                    """And the model is out: nothing but the clock ends a wait for its mask."""
                    offsets[REALTIME] += hours * 3600 * NS
                    model_killed(rig)

                rig.put_to(set_back_or_forth, MODEL_OUT, [DIED], dry=True)
                print(f"set by {hours} h", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
