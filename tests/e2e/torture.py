"""A live session in a process whose Python is as busy as can be: `python -m tests.e2e.torture SECONDS`.

One thread spins, one allocates objects that refer to each other, over and over, so that the garbage collector
runs through a heap of them. Prints `begin`, then after SECONDS what the session has counted meanwhile.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from rtsep.compiled import use_cache

use_cache()

from rtsep.audio import rings  # noqa: E402
from rtsep.controls import Controls  # noqa: E402
from rtsep.model.catalog import find_model  # noqa: E402
from rtsep.model.package import read_package  # noqa: E402
from rtsep.session.api import Session  # noqa: E402
from rtsep.session.options import LiveOptions  # noqa: E402

COUNTERS = ("hops", "late_masks", "underruns", "overruns", "device_xruns")
HEAP_OBJECTS = 300_000


def spin() -> None:
    number = 0
    while True:
        number = (number * 31 + 7) % 1_000_003


def allocate() -> None:
    heap: list[dict[str, object]] = []
    while True:
        node: dict[str, object] = {"values": list(range(20)), "text": "x" * 50}
        node["itself"] = node
        heap.append(node)
        if len(heap) >= HEAP_OBJECTS // 3:
            del heap[: HEAP_OBJECTS // 6]


def main() -> int:
    seconds = float(sys.argv[1])
    package = read_package(find_model("live"))
    session = Session.of(
        LiveOptions(out="both"), package, Controls(), lambda line: print(line, file=sys.stderr)
    )
    with session:
        for torture in (spin, allocate):
            threading.Thread(target=torture, daemon=True).start()
        time.sleep(2.0)
        before, calls = session.stats(), session.engine.read(rings.OUT_CALLS)
        print("begin", flush=True)
        time.sleep(seconds)
        after = session.stats()
        counted = {name: after[name] - before[name] for name in COUNTERS}
        counted["calls"] = session.engine.read(rings.OUT_CALLS) - calls
        print(json.dumps(counted | {"hop_us": after["hop_us"], "real_time": after["real_time"]}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
