"""The systemd user unit that `rtsep service` writes, and queries to systemd about it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rtsep import folders
from rtsep.errors import OutputError
from rtsep.realtime.child_process import interpreter
from rtsep.surfaces.remote.place import DEFAULT

PATIENCE_S = 30.0

RESTART_S = 5
"""Time from a failure to the next start, in seconds."""

STARTS_WITHIN_S = 15.0
"""Time limit in seconds for the session of a started service to answer; a first start compiles for longer."""

AGAIN_S = 0.5
"""Interval of these queries in seconds."""

NOT_AGAIN = (2, 4, 5, 6)
"""Exit codes that a restart would repeat: options, model, input file, output folder."""

_UNIT = """\
# Written by 'rtsep service install', which replaces it; 'systemctl --user edit {unit}' adds to it.
[Unit]
Description=rtsep, live vocal separation (session '{session}')
Documentation=man:rtsep(1)
After=pipewire.service pipewire-pulse.service wireplumber.service pulseaudio.service jack.service
# A card or a sound server may come long after the login: it tries without an end.
StartLimitIntervalSec=0

[Service]
ExecStart={command}
WorkingDirectory=-{folder}
Restart=on-failure
RestartSec={restart_s}
RestartPreventExitStatus={not_again}
# Ended before it played:
SuccessExitStatus=130
# Only rtsep itself is asked to end; its model process follows it.
KillMode=mixed
TimeoutStopSec=15
# As far as the user manager has them: it cannot give more than its own limits.
LimitRTPRIO=95
LimitMEMLOCK=infinity

[Install]
WantedBy=default.target
"""


def unit_name(session: str) -> str:
    """Return the name of the unit that plays `session`."""
    return "rtsep.service" if session == DEFAULT else f"rtsep-{session}.service"


def unit_path(session: str) -> Path:
    """Return the path of the unit: systemd's folder for units of the user."""
    return folders.config().parent / "systemd" / "user" / unit_name(session)


def program() -> list[str]:
    """Return the command that starts this program independently of the folder and PATH."""
    called = Path(sys.argv[0])
    if called.name != "__main__.py" and (found := shutil.which(sys.argv[0])):
        return [str(Path(found).absolute())]
    return [interpreter() or sys.executable, "-m", "rtsep"]


def unit_text(session: str, options: Sequence[str], folder: Path) -> str:
    """Return the unit that plays `session` with `options` of `live`; their paths are relative to `folder`.

    Raise `OutputError` for a control character in any of them: a line end would begin an entry of its own.
    """
    _check_printable(str(folder))
    words = [*program(), "live", "--headless", "--resume", "--session", session, *options]
    return _UNIT.format(
        unit=unit_name(session),
        session=session,
        command=" ".join(map(quoted, words)),
        folder=str(folder).replace("%", "%%"),
        restart_s=RESTART_S,
        not_again=" ".join(map(str, NOT_AGAIN)),
    )


def quoted(word: str) -> str:
    """Return one word in the syntax of ExecStart. Raise `OutputError` for a control character."""
    _check_printable(word)
    word = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./$-]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _check_printable(text: str) -> None:
    if not text.isprintable():
        raise OutputError(f"{text!r}: a systemd unit accepts printable characters only")


def systemctl(*words: str) -> tuple[int, str]:
    """Run `systemctl --user WORDS`; return its exit code and the first line of its output.

    If systemctl is missing or does not answer, the code is -1 and the line is the reason.
    """
    try:
        run = subprocess.run(
            ["systemctl", "--user", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
        )
    except FileNotFoundError:
        return -1, "there is no systemctl here"
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, f"systemctl does not answer: {getattr(error, 'strerror', None) or 'it hangs'}"
    lines = [line.strip() for line in (run.stdout + run.stderr).splitlines() if line.strip()]
    return run.returncode, lines[0] if lines else ""


def manager() -> str:
    """Return why no user manager answers, "" if one does."""
    code, line = systemctl("show-environment")
    return "" if code == 0 else line or f"systemctl --user ended with code {code}"
