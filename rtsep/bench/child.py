"""`rtsep` in a separate process, as users run it, and the system's accounting of it.

    python -m rtsep.bench.child COMMAND...

runs a command and prints its account as JSON. The memory of the starting process counts towards the peak of
the new one, which is a copy of it until it becomes another program. Therefore this module imports nothing
heavy.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rtsep.errors import ModelProcessError, RtsepError, UsageError
from rtsep.realtime.child_process import command_of

_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes per unit of `ru_maxrss`


@dataclass(frozen=True)
class Account:
    """System's accounting of a finished process."""

    code: int  # exit code; a negative signal number if killed
    wall_s: float  # from before its start to its end
    cpu_s: float  # on all cores, including its own child processes
    peak_mib: float  # peak of resident memory of the process or of its largest child
    out: str
    messages: list[str]  # lines of standard error


def rtsep_command(*words: object) -> list[str]:
    """Return the command of `rtsep WORDS`."""
    return [*command_of("rtsep.cli.main"), *map(str, words)]


def refusal(code: int, messages: Sequence[str], words: Sequence[str]) -> RtsepError:
    """Return the error of a failed `rtsep WORDS` with exit code `code`, in its own class."""
    kinds = {kind.exit_code: kind for kind in RtsepError.__subclasses__()}
    line = messages[-1].removeprefix("rtsep: ") if messages else ""
    return kinds.get(code, ModelProcessError)(
        line
        or f"'rtsep {words[0]}' ended with code {code} without a message; "
        f"try it by hand: rtsep {' '.join(words)}"
    )


def account_of(command: Sequence[str]) -> Account:
    """Run `command` and return its account; the command ends if the wait is interrupted.

    Raise `UsageError` if the system has no such accounting.
    """
    if not hasattr(os, "wait4"):
        raise UsageError("this system has no accounting of finished processes; use Linux or macOS")
    process = subprocess.Popen(
        [*command_of(__name__), *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        out, messages = process.communicate()
    except BaseException:
        process.terminate()
        process.communicate()
        raise
    if process.returncode != 0:
        raise RuntimeError(f"{command} could not be run: {messages}")
    return Account(**json.loads(out))


def main() -> int:
    """Run a command; print its account."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as messages:
        begun = time.monotonic()
        process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=out, stderr=messages)
        signal.signal(signal.SIGINT, lambda *_: None)  # the child gets Ctrl-C as well, and ends
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - begun
        texts = []
        for file in (out, messages):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    account = Account(
        code=os.waitstatus_to_exitcode(status),
        wall_s=wall_s,
        cpu_s=used.ru_utime + used.ru_stime,
        peak_mib=used.ru_maxrss * _PEAK_UNIT / (1 << 20),
        out=texts[0],
        messages=texts[1].splitlines(),
    )
    print(json.dumps(asdict(account)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
