"""Nothing that runs on the audio path calls a memory allocator, by the machine code's own calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from ctypes.util import find_library
from types import ModuleType

import numpy as np
import pytest
from numba import carray, cfunc, njit, types

from tests.audio.heap_calls import compiled_in, heap_calls
from tests.compiled_once import report_file

OF_ANOTHER_SYSTEM = ("rtsep.realtime.wake_darwin.", "rtsep.realtime.wake_windows.")
"""Modules that import here, but whose functions can be compiled on their own system only."""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Findings in all compiled functions of the audio path, by name; None: not compiled.

    Found as the code was compiled, or else by a child process that compiles all of it again.
    """
    kept = report_file()
    if kept.exists():
        return json.loads(kept.read_text())
    cache = tmp_path_factory.mktemp("compiled")
    done = subprocess.run(
        [sys.executable, "-m", "tests.audio.heap_calls"],
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_compiled_function_of_the_audio_path_calls_an_allocator(report):
    calls = {name: found for name, found in report.items() if found}
    assert calls == {}


def test_every_compiled_function_of_the_audio_path_was_looked_at(report):
    missed = [name for name, found in report.items() if found is None]
    assert [name for name in missed if not name.startswith(OF_ANOTHER_SYSTEM)] == []


@pytest.mark.parametrize(
    "name",
    [
        "rtsep.audio.hoploop.run_hops",
        "rtsep.audio.callback.take_input",
        "rtsep.audio.callback.give_output",
        "rtsep.audio.engine_mixer.process_input",
        "rtsep.audio.engine_mixer.process_output",
        "rtsep.audio.portaudio.portaudio_callback",
        "rtsep.audio.virtual.run_clock",
    ],
)
def test_the_search_finds_what_the_devices_call(report, name):
    assert report[name] == []


@pytest.mark.skipif(find_library("jack") is None, reason="needs libjack")
def test_the_search_finds_what_a_jack_server_calls(report):
    assert report["rtsep.audio.jack_calls.process"] == []


@pytest.mark.skipif(find_library("pulse") is None, reason="needs libpulse")
@pytest.mark.parametrize("name", ["run_playback", "run_capture"])
def test_the_search_finds_the_threads_of_a_pulse_stream(report, name):
    assert report[f"rtsep.audio.pulse_loop.{name}"] == []


@njit(nogil=True)
def makes_an_array(out):  # type: ignore[no-untyped-def]
    out[0] = np.zeros(1)[0]


@njit(nogil=True)
def shifts_by_a_slice(row):  # type: ignore[no-untyped-def]
    row[:-1] = row[1:]


@njit(nogil=True)
def adds_arrays(first, second, out):  # type: ignore[no-untyped-def]
    out[:] = first + second


@njit(nogil=True)
def calls_another(row):  # type: ignore[no-untyped-def]
    shifts_by_a_slice(row)


@njit(nogil=True)
def shifts_by_a_loop(row):  # type: ignore[no-untyped-def]
    for i in range(row.size - 1):
        row[i] = row[i + 1]


@cfunc(types.void(types.voidptr))
def calls_back(user):  # type: ignore[no-untyped-def]
    makes_an_array(carray(user, (1,), np.float64))


@pytest.mark.parametrize(
    ("function", "arrays"),
    [(makes_an_array, 1), (shifts_by_a_slice, 1), (adds_arrays, 3), (calls_another, 1)],
)
def test_a_planted_allocation_is_found(function, arrays):
    function(*[np.arange(8.0) for _ in range(arrays)])
    assert any("NRT_" in call for call in heap_calls(function))


def test_an_allocation_planted_in_what_a_callback_calls_is_found():
    assert any("NRT_MemInfo_alloc" in call for call in heap_calls(calls_back))


def test_a_loop_in_the_place_of_a_slice_passes():
    row = np.arange(8.0)
    shifts_by_a_loop(row)
    assert heap_calls(shifts_by_a_loop) == []
    np.testing.assert_array_equal(row, [1, 2, 3, 4, 5, 6, 7, 7])


def test_a_function_without_llvm_is_refused_instead_of_passed(tmp_path):
    """numba has no LLVM for what it loads from its cache: the second process must say so."""
    program = tmp_path / "cached.py"
    program.write_text(
        "import numpy as np, numba\n"
        "from tests.audio.heap_calls import heap_calls\n"
        "@numba.njit(cache=True)\n"
        "def f(row):\n    row[0] = np.zeros(1)[0]\n"
        "f(np.zeros(1))\n"
        "print(heap_calls(f))\n"
    )

    def run() -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True)

    assert "NRT_" in run().stdout
    assert "it came from numba's cache" in run().stderr


def test_a_new_callback_is_found_by_itself():
    module = ModuleType("backend")
    module.callback, module.function, module.other = calls_back, shifts_by_a_loop, njit(lambda: 1)  # type: ignore[attr-defined]
    assert set(compiled_in(module).values()) == {calls_back, shifts_by_a_loop}
