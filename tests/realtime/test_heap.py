"""One pool of the C library for all threads of a process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.compiled_once import ROOT

PROGRAM = """
import ctypes, sys, threading
from rtsep.realtime.heap import use_one_pool

if sys.argv[1] == "one":
    assert use_one_pool()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
all_have_memory = threading.Barrier(4)

def take_memory():
    libc.malloc(1000)
    all_have_memory.wait()

threads = [threading.Thread(target=take_memory) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def pools(which: str, tmp_path) -> int:
    report = tmp_path / "heap.xml"
    subprocess.run([sys.executable, "-c", PROGRAM, which, str(report)], cwd=ROOT, check=True, timeout=120)
    return report.read_text().count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such pools")
def test_all_threads_share_one_pool(tmp_path):
    assert pools("many", tmp_path) > 1, "what this test would not see otherwise"
    assert pools("one", tmp_path) == 1
