"""The faults of a soak and their times, which follow from the seed."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

FIRST_S = 15.0
"""Before the first fault: what it is measured against."""

REST_S = (8.0, 25.0)
"""From the end of a fault's time to the next one. Losses and latency are judged between them."""

LAST_S = 20.0
"""Behind the last fault."""

JACK, PIPEWIRE = "jack", "pipewire"

_BOTH = (JACK, PIPEWIRE)

KINDS: dict[str, tuple[tuple[str, ...], float, dict[str, tuple[float, float]]]] = {
    "model killed": (_BOTH, 1, {}),
    "model stopped": (_BOTH, 1, {"seconds": (0.05, 3.0)}),
    "session stopped": (_BOTH, 1, {"seconds": (0.02, 1.5)}),
    "server frozen": (_BOTH, 1, {"seconds": (0.02, 1.0)}),
    "model switched": (_BOTH, 1, {"seconds": (0.2, 2.0)}),
    "device switched": (_BOTH, 1, {"seconds": (0.2, 2.0)}),
    "recording": (_BOTH, 1, {"seconds": (0.5, 5.0)}),
    "take folder removed": (_BOTH, 1, {"seconds": (0.5, 3.0)}),
    "preset changes": (_BOTH, 1, {"count": (2, 30)}),
    "controls turned": (_BOTH, 1, {"count": (50, 500)}),
    "readers come and go": (_BOTH, 1, {"count": (1, 6)}),
    "MIDI flood": ((JACK,), 1, {"count": (500, 20_000)}),
    "period changed": ((JACK,), 1, {"frames": (5, 10), "seconds": (0.5, 3.0)}),  # a power of two
    "quantum changed": ((PIPEWIRE,), 1, {"frames": (5, 10), "seconds": (0.5, 3.0)}),
    "rate changed": ((PIPEWIRE,), 1, {"seconds": (1.0, 4.0)}),
}
"""Each kind of fault: the servers that it can be made on, how often it comes, what is drawn for it."""

WHOLE = ("count", "frames")


@dataclass(frozen=True)
class Fault:
    """One fault of a plan."""

    at: float  # s from the first reading
    kind: str
    how: dict[str, Any]

    def __str__(self) -> str:
        how = ", ".join(f"{name} {value:g}" for name, value in self.how.items())
        return f"{self.kind} ({how})" if how else self.kind


def plan(seed: int, seconds: float, server: str, only: Collection[str] = ()) -> list[Fault]:
    """Return the faults of a soak of `seconds`, in order. The first kinds are all there are, each once.

    So a short soak has as many kinds as it has room for, and a long one has each many times. `only` are the
    kinds to choose from, if not from all.
    """
    chance = random.Random(f"{seed} {server}")
    kinds = [kind for kind, (servers, _, _) in KINDS.items() if server in servers and kind in (only or KINDS)]
    weights = [KINDS[kind][1] for kind in kinds]
    first = chance.sample(kinds, len(kinds))
    faults: list[Fault] = []
    at = FIRST_S
    while at < seconds - LAST_S:
        kind = first.pop() if first else chance.choices(kinds, weights)[0]
        how: dict[str, Any] = {}
        for name, (least, most) in KINDS[kind][2].items():
            whole = name in WHOLE
            how[name] = (
                chance.randint(int(least), int(most)) if whole else round(chance.uniform(least, most), 3)
            )
        if "frames" in how:
            how["frames"] = 2 ** how["frames"]
        faults.append(Fault(round(at, 3), kind, how))
        at += how.get("seconds", 0.0) + chance.uniform(*REST_S)
    return faults
