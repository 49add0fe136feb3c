"""Compiles what most tests need, before several workers would each do it.

    python -m tests.compiled_once

A minute at the first time, nothing for sources that have been compiled. While the code is new, its LLVM is
looked at for tests/audio/test_realtime_safe.py, which would have to compile all of it once more.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rtsep.compiled import compiled_folder, use_cache

ROOT = Path(__file__).resolve().parents[1]
_LOOKING = ROOT / "tests" / "audio" / "heap_calls.py"


def use_the_tests_cache() -> None:
    """Keep compiled code where all tests do; call before numba is imported. Child processes follow."""
    use_cache(ROOT / ".pytest_cache" / "numba")


def report_file() -> Path:
    """Return where the calls found in today's sources are kept, by today's way of looking."""
    way = hashlib.sha256(_LOOKING.read_bytes()).hexdigest()[:16]
    return compiled_folder() / f"heap-calls-{way}.json"


def main() -> None:
    """Compile, look, and keep what was found."""
    use_the_tests_cache()
    if any(compiled_folder().rglob("*.nbi")):
        return  # of what comes from the cache, numba has no LLVM to look at
    from tests.audio.heap_calls import look_at_all

    half = report_file().with_suffix(".part")
    half.write_text(json.dumps(look_at_all()))
    half.replace(report_file())


if __name__ == "__main__":
    main()
