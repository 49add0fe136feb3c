"""Rights of the model process: the layers of confinement that this system supports."""

from __future__ import annotations

from collections.abc import Mapping

from rtsep.doctor.finding import Finding, note, ok
from rtsep.model import confinement

NAMES = {
    confinement.PRIVILEGES: "no_new_privs",
    confinement.LIMITS: "resource limits",
    confinement.FILES: "Landlock",
    confinement.CALLS: "seccomp",
}


def rights(available: Mapping[str, bool] | None = None) -> list[Finding]:
    """Check which rights the model process can give up; `available` are the layers (None: this system's)."""
    name = "rights of a model"
    there = confinement.available() if available is None else available
    lacking = [NAMES[layer] for layer in confinement.LAYERS if not there[layer]]
    if not lacking:
        return [ok(name, "masks only; with --compute cuda the checks of its file alone")]
    return [
        note(
            name,
            f"no {', no '.join(lacking)} here: a malicious model file that passes the checks could do "
            "more harm",
            "use only models of people you trust (docs/model-safety.md), or Linux 5.13 or later",
        )
    ]
