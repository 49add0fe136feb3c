"""A plain JACK client in C beside ours: as many xruns as it has are the machine's, not ours."""

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
    """The client, running."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def counts(self) -> dict[str, Any] | None:
        """Return its calls, xruns and skipped calls so far, and the longest gap since it was asked last.

        None where it has ended.
        """
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            return dict(json.loads(self._process.stdout.readline()))
        return None


def build(folder: Path, source: Path = SOURCE) -> tuple[list[str], str]:
    """Build a client in `folder`; return its command, which wants a name, and ""; else [], and why."""
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        return [], f"there is no C compiler here ({', '.join(COMPILERS)})"
    program = folder / source.stem
    built = subprocess.run([compiler, "-O2", source, "-o", program, "-ldl"], capture_output=True, text=True)
    if built.returncode != 0:
        said = (built.stderr.splitlines() or ["?"])[0]
        return [], f"{compiler} does not build it ({said})"
    return [str(program)], ""


@contextlib.contextmanager
def plain_client() -> Iterator[tuple[PlainClient | None, str]]:
    """Build it and let it run on the JACK server; else None, and why."""
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
        except OSError as error:  # temporary files may not be programs
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
