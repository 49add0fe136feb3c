"""The LV2 plugin for hosts: whether it and its engine match this version."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rtsep.doctor.finding import Finding, ok, problem
from rtsep.errors import RtsepError
from rtsep.plugin import bundle

_REMEDY = "run 'rtsep plugin install'"


def plugin(bundles: Sequence[Path] | None = None) -> list[Finding]:
    """Check the first plugin that hosts find, and its engine; no finding if none is installed.

    `bundles` are the folders of the plugin (default: those in all folders of LV2 plugins).
    """
    name = "plugin"
    there = bundle.installed() if bundles is None else bundles
    if not there:
        return []
    first, *others = there
    faults = list(bundle.faults(first))
    try:
        engine = bundle.engine_version(first)
        if engine != version("rtsep"):
            faults.append(f"its engine is version {engine}")
    except RtsepError as error:
        faults.append(str(error))
    if faults:
        return [problem(name, f"{first}: {'; '.join(faults)}", _REMEDY)]
    hidden = f"; it hides {', '.join(map(str, others))}" if others else ""
    return [ok(name, f"{first}, version {version('rtsep')}, and its engine, {engine}{hidden}")]
