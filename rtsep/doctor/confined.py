"""Rights of the model process: which of the layers around a stranger's model this system has."""

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
    """Check what the model process can give up; `available` are the layers by name (those of this system)."""
    name = "rights of a model"
    there = confinement.available() if available is None else available
    lacking = [NAMES[layer] for layer in confinement.LAYERS if not there[layer]]
    if not lacking:
        return [ok(name, "masks only; with --compute cuda the checks of its file alone")]
    return [
        note(
            name,
            f"no {', no '.join(lacking)} here: a model file that breaks out of its checks could do more",
            "use models of people you trust only (docs/model-safety.md), or Linux 5.13 or later",
        )
    ]
