"""Tests on a JACK server are repeated when they fail, as a busy machine may lose a period at any time.

Each repeat has fixtures, and so a server, of its own. A real fault fails each time. All that was repeated
stands in the summary, with what was wrong.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

MARKER = "mark.jack"
"""Text of files with such tests: the others need not be collected (12 s of a core)."""

REPEATS = 2
MAX_REASON = 600  # characters of what was wrong, in the summary


def jack_files(folder: Path) -> list[str]:
    """Return the files below `folder` that have tests marked `jack`."""
    return [str(path) for path in sorted(folder.rglob("test_*.py")) if _has_such_tests(path)]


@functools.cache
def _has_such_tests(path: Path) -> bool:
    return MARKER in path.read_text("utf-8")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests marked `jack` for pytest-rerunfailures."""
    for item in items:
        if item.get_closest_marker("jack"):
            if not _has_such_tests(item.path):
                raise pytest.UsageError(
                    f"{item.nodeid}: mark it in its file, as {MARKER}, where it is looked for"
                )
            item.add_marker(pytest.mark.flaky(reruns=REPEATS))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell which tests were repeated, how often and why."""
    repeated: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("rerun", []):
        crash = getattr(report.longrepr, "reprcrash", None)
        words = (crash.message if crash else report.longreprtext).split()
        repeated.setdefault(report.nodeid, []).append(" ".join(words)[:MAX_REASON])
    if not repeated:
        return
    failed = {report.nodeid for report in terminalreporter.stats.get("failed", [])}
    failed |= {report.nodeid for report in terminalreporter.stats.get("error", [])}
    terminalreporter.section("repeated on a new server")
    for name, reasons in repeated.items():
        outcome = "failed in the end" if name in failed else "passed in the end"
        terminalreporter.write_line(f"{name}: {len(reasons)} of {REPEATS} repeats, {outcome}")
        for reason in reasons:
            terminalreporter.write_line(f"    {reason}")
