"""Output of the benchmarks of this package."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from rtsep.bench.result import Result
from rtsep.terminal import plain_console
from train.commandline import without_paths
from train.data.cache import whole_file

LOG_WIDTH = 200


def command_line() -> str:
    """Return the present command for a page, without paths of this machine."""
    return without_paths(
        shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]), drop=("--json", "--unfinished")
    )


def write_result(result: Result, path: Path | None) -> None:
    """Print the table; write the JSON to `path`, if given."""
    console = plain_console(log_width=LOG_WIDTH)
    result.show(console)
    if path is not None:
        with whole_file(path) as file:
            file.write((json.dumps(result.to_json(), indent=1, allow_nan=False) + "\n").encode())
