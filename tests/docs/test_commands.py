"""Every command of the pages is run, or has a comment with the reason why not.

Quick ones are run in this process by `make test`, all others as a user runs them by `make test-long`.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack

import pytest

from tests.cli.program import ROOT, rtsep_here
from tests.docs.commands import ALL, COMMANDS, Command, of_page

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs sh")

QUICK = ("rtsep config", "rtsep presets", "rtsep models", "rtsep service")
NOT_QUICK = ('rtsep presets save "as it is"', "rtsep models check")

BY_CI = ("make lint", "make test", "make test-wheel", "make dist")
"""Commands that `.ci/run` runs, the last one as a part of the one before it."""

ON_JACK = ("--no-connect", "--midi virtual", "midi learn")
"""Parts of commands that need a JACK server; tests/e2e/test_docs_on_jack.py runs them."""


def is_quick(command: Command) -> bool:
    return command.text.startswith(QUICK) and not command.text.startswith(NOT_QUICK)


def test_the_commands_of_ci_are_those_that_it_runs():
    runs = (ROOT / ".ci" / "run").read_text().splitlines()
    assert set(BY_CI[:-1]) <= set(runs)
    assert "test-wheel: dist" in (ROOT / "Makefile").read_text().splitlines()


def needs_jack(command: Command) -> bool:
    return any(part in command.text for part in ON_JACK)


def test_commands_are_found_with_their_comments_and_marks():
    text = "a\n```sh\nrtsep live \\\n  --in x  # one\nls\n. a; make b\nx='#' rtsep get  # not run here: why\n"
    text += "```\n"
    table = "| you | `rtsep file a` |\n| `rtsep b` (not run here: so) | `notrtsep c` |\n"
    found = [(c.line, c.text, c.comment, c.is_run, c.reason) for c in of_page("p", text + table)]
    assert found == [
        (3, "rtsep live   --in x", "one", True, ""),
        (6, ". a; make b", "", True, ""),
        (7, "x='#' rtsep get", "not run here: why", False, "why"),
        (9, "rtsep file a", "", True, ""),
        (10, "rtsep b", "not run here: so", False, "so"),
    ]


def test_the_pages_have_commands():
    assert len(ALL) > 100
    assert len(COMMANDS) > 15


@pytest.mark.parametrize("command", [c for c in ALL if not c.is_run], ids=lambda command: command.id)
def test_what_is_not_run_says_why(command):
    assert command.reason


@pytest.mark.parametrize("page", [name for name, found in COMMANDS.items() if any(map(is_quick, found))])
def test_quick_commands_of_a_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDITOR", "true")
    home = {f"XDG_{kind}_HOME": str(tmp_path / kind) for kind in ("CONFIG", "STATE", "DATA", "RUNTIME_DIR")}
    home |= {"XDG_RUNTIME_DIR": str(tmp_path), "DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path}/bus"}
    for command in COMMANDS[page]:
        if command.is_run and is_quick(command):
            done = rtsep_here(*command.words[1:], **home)
            where = f"{page}, line {command.line}: {command.text}"
            assert done.code == 0, f"{where}: {done.said}\nMend it, or write '# not run here: WHY' behind it"
            assert done.out or done.said or "edit" in command.text, where


@pytest.mark.long
@pytest.mark.skipif(shutil.which("pulseaudio") is None, reason="needs pulseaudio and pulseaudio-utils")
@pytest.mark.parametrize("page", COMMANDS)
def test_all_commands_of_a_page_one_after_the_other(page, tmp_path):
    from tests.docs.page_user import PageUser
    from tests.e2e.pulseserver import PulseServer

    with ExitStack() as stack:
        server = PulseServer()
        stack.callback(server.remove)
        page_user = PageUser(tmp_path, server.environment)
        stack.callback(page_user.close)
        for command in COMMANDS[page]:
            if command.is_run and command.text not in BY_CI and not needs_jack(command):
                page_user.run(command)
