"""How the benchmarks of this package tell what they have found."""

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
    """Return the present command as a page has it: where things lie on this machine is left out."""
    return without_paths(
        shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]), drop=("--json", "--unfinished")
    )


def tell(result: Result, path: Path | None) -> None:
    """Print the table; write the JSON to `path`, if any."""
    console = plain_console(log_width=LOG_WIDTH)
    result.show(console)
    if path is not None:
        with whole_file(path) as file:
            file.write((json.dumps(result.to_json(), indent=1, allow_nan=False) + "\n").encode())
