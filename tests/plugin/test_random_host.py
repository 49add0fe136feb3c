"""A host in C that calls the plugin in every order which LV2 allows, under the sanitizers and valgrind."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rtsep.plugin import bundle, ttl
from tests.plugin.conftest import NO_ENGINE, needs_a_compiler

pytestmark = needs_a_compiler

SOURCE = Path(__file__).with_name("random_host.c")
PATIENCE_S = 300


@pytest.fixture
def build(tmp_path):
    def compiled(*flags: str) -> Path:
        ttl.write_headers(tmp_path)
        folder = bundle.source_folder()
        sources = [str(SOURCE), *(str(folder / name) for name in bundle.sources())]
        program = tmp_path / "host"
        subprocess.run(
            [*os.environ.get("CC", "cc").split(), *sources, "-g", "-O1", "-std=gnu11", *flags,
             f"-I{tmp_path}", f"-I{folder}", "-o", str(program), "-lpthread", "-lm"],
            check=True,
        )  # fmt: skip
        rows = ((name, str(n) * 64, 256 << n) for n, name in enumerate(("none", "other")))
        (tmp_path / "models").write_text(
            "".join(f"{name}\t{sha}\t48000\t{d}\t{d}\n" for name, sha, d in rows)
        )
        (tmp_path / "engine").write_text("\n".join(NO_ENGINE))
        return program

    return compiled


def play(program: Path, seed: int, steps: int, way: str, *before: str) -> None:
    done = subprocess.run(
        [*before, str(program), f"{program.parent}/", str(seed), str(steps), way],
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


LONG = pytest.mark.long


@pytest.mark.parametrize("way", ["face", "core"])
@pytest.mark.parametrize(
    ("sanitizer", "seeds", "steps"),
    [
        ("address,undefined", range(1), 60),
        pytest.param("address,undefined", range(1, 6), 200, marks=LONG),
        pytest.param("thread", range(1, 6), 200, marks=LONG),
    ],
    ids=["address, short", "address", "thread"],
)
def test_no_order_of_calls_is_an_error_to_a_sanitizer(build, way, sanitizer, seeds, steps):
    program = build(f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all")
    for seed in seeds:
        play(program, seed, steps, way)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind (apt-get install valgrind)")
@pytest.mark.parametrize("way", ["face", "core"])
def test_no_order_of_calls_is_an_error_to_valgrind(build, way):
    program = build()
    for seed in range(1, 4):
        play(program, seed, 60, way, "valgrind", "-q", "--error-exitcode=9", "--leak-check=full")
