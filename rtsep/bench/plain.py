"""A plain JACK client in C beside rtsep: its xruns are caused by the machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

SOURCE = Path(str(resources.files("rtsep"))) / "assets" / "plain_client.c"
COMPILERS = ("cc", "gcc", "clang")
_PATIENCE_S = 10.0


class PlainClient:
    """Running plain client."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def counts(self) -> dict[str, Any] | None:
        """Return its calls, xruns and skipped calls so far, and the longest gap since the last request.

        None if it has ended.
        """
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            return dict(json.loads(self._process.stdout.readline()))
        return None


def build(folder: Path, source: Path = SOURCE) -> tuple[list[str], str]:
    """Build a client in `folder`; return its command and "", else [] and the reason.

    The command lacks the client's name, which is its last argument.
    """
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        return [], f"there is no C compiler here ({', '.join(COMPILERS)})"
    program = folder / source.stem
    built = subprocess.run([compiler, "-O2", source, "-o", program, "-ldl"], capture_output=True, text=True)
    if built.returncode != 0:
        message = (built.stderr.splitlines() or ["?"])[0]
        return [], f"{compiler} does not build it ({message})"
    return [str(program)], ""


@contextlib.contextmanager
def plain_client() -> Iterator[tuple[PlainClient | None, str]]:
    """Build it and run it on the JACK server; yield None and the reason if that fails."""
    with tempfile.TemporaryDirectory(prefix="rtsep-bench-") as folder:
        command, why = build(Path(folder))
        if why:
            yield None, f"no plain C client beside it: {why}"
            return
        try:
            process = subprocess.Popen(
                [*command, f"rtsep-plain-{os.getpid()}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
        except OSError as error:  # the folder of temporary files may forbid programs
            yield None, f"no plain C client beside it: it does not start ({error})"
            return
        try:
            client = PlainClient(process)
            if client.counts() is None:
                yield None, f"no plain C client beside it: it ended with code {process.wait(_PATIENCE_S)}"
            else:
                yield client, ""
        finally:
            assert process.stdin and process.stdout
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
