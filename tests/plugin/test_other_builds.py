"""The plugin as CMake builds it, and compiled for systems that no test of ours runs on."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtsep.plugin import bundle, ttl
from tests.plugin.conftest import needs_a_compiler

pytestmark = [needs_a_compiler, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-const-variable")


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs CMake (apt-get install cmake)")
def test_cmake_builds_and_installs_a_bundle_that_loads(tmp_path):
    build, places = tmp_path / "build", tmp_path / "lv2"
    for words in (
        ("-B", str(build), "-S", str(ROOT / "plugin"), f"-DPython3_EXECUTABLE={sys.executable}"),
        ("--build", str(build)),
        ("--install", str(build), "--prefix", str(places)),
    ):
        done = subprocess.run(["cmake", *words], capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, done.stdout + done.stderr
    made = places / bundle.NAME
    assert {path.name for path in made.iterdir()} == {ttl.BINARY, "manifest.ttl", "rtsep.ttl"}
    assert bundle.library_fault(made / ttl.BINARY) == ""


@pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="needs Zig (pip install -e '.[dist]')"
)
@pytest.mark.parametrize(
    ("target", "system"),
    [("x86_64-windows-gnu", "windows"), ("aarch64-macos", "posix"), ("x86_64-macos", "posix")],
)
def test_other_systems_compile_it(tmp_path, target, system):
    ttl.write_headers(tmp_path)
    (tmp_path / "lv2").symlink_to("/usr/include/lv2")  # their headers, not those of this system
    sources = [str(ROOT / "plugin" / name) for name in bundle.sources(system)]
    made = tmp_path / "made"
    command = [
        sys.executable, "-m", "ziglang", "cc", "-target", target, "-O2", "-std=c11", "-shared", *WARNINGS,
        f"-I{tmp_path}", f"-I{ROOT / 'plugin'}", *sources, "-o", str(made),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True
    )  # the first time, Zig compiles its own parts
    assert (done.returncode, done.stderr) == (0, "")
    assert b"lv2_descriptor" in made.read_bytes()
