"""`rtsep` as a process of its own, as a user runs it, and what the system accounts it for.

    python -m rtsep.bench.child COMMAND...

runs a command and tells its account as JSON. What a process is begun by counts towards its own peak: until it
becomes another program it is a copy of its parent. So that this one is small, it imports nothing heavy.
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

_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes that `ru_maxrss` counts in


@dataclass(frozen=True)
class Account:
    """A process that has ended, by the system's own accounting."""

    code: int  # its exit code; minus a signal's number
    wall_s: float  # from before its start to its end
    cpu_s: float  # on all cores, with all that it has started and waited for
    peak_mib: float  # memory that was resident at once: of it or, where that is more, of one that it started
    out: str
    said: list[str]  # lines of standard error


def rtsep_command(*words: object) -> list[str]:
    """Command of `rtsep WORDS`."""
    return [*command_of("rtsep.cli.main"), *map(str, words)]


def refusal(code: int, said: Sequence[str], words: Sequence[str]) -> RtsepError:
    """Return what `rtsep WORDS`, which has ended with `code`, said was wrong, as an error of its kind."""
    kinds = {kind.exit_code: kind for kind in RtsepError.__subclasses__()}
    line = said[-1].removeprefix("rtsep: ") if said else ""
    return kinds.get(code, ModelProcessError)(
        line
        or f"'rtsep {words[0]}' ended with code {code} and said nothing; "
        f"try it by hand: rtsep {' '.join(words)}"
    )


def account_of(command: Sequence[str]) -> Account:
    """Run `command` and return what it came to; it ends with whatever interrupts the wait.

    Raises `UsageError` where the system keeps no such accounts.
    """
    if not hasattr(os, "wait4"):
        raise UsageError("this system does not account for processes that have ended; Linux and macOS do")
    process = subprocess.Popen(
        [*command_of(__name__), *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        out, said = process.communicate()
    except BaseException:
        process.terminate()
        process.communicate()
        raise
    if process.returncode != 0:
        raise RuntimeError(f"{command} could not be run: {said}")
    return Account(**json.loads(out))


def main() -> int:
    """Run a command; print its account."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        begun = time.monotonic()
        process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=out, stderr=said)
        signal.signal(signal.SIGINT, lambda *_: None)  # a Ctrl-C has reached it as well, and it will end
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - begun
        texts = []
        for file in (out, said):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    account = Account(
        os.waitstatus_to_exitcode(status),
        wall_s,
        used.ru_utime + used.ru_stime,
        used.ru_maxrss * _PEAK_UNIT / (1 << 20),
        texts[0],
        texts[1].splitlines(),
    )
    print(json.dumps(asdict(account)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
