"""A recording on a full file system: the sound goes on, one line tells, and the files are whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import soundfile

from tests.e2e.liveprocess import ROOT

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("unshare") is None,
        reason="needs root on Linux, for a small file system of its own",
    ),
]

MOUNT_AND_PLAY = """
mount -t tmpfs -o size=1m tmpfs "$1" || exit 99
"$2" -m rtsep live --in demo --out-device virtual --seconds 6 --headless --record "$1/take"
code=$?
cp -r "$1/take" "$3"
exit $code
"""


def test_a_full_disk_ends_the_recording_and_not_the_sound(tmp_path):
    small, kept = tmp_path / "small", tmp_path / "kept"
    small.mkdir()
    words = ["sh", "-c", MOUNT_AND_PLAY, "sh", str(small), sys.executable, str(kept)]
    run = subprocess.run(
        ["unshare", "-m", "--propagation", "private", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    if run.returncode == 99:
        pytest.skip("this machine lets nobody mount a file system")
    assert run.returncode == 0, run.stderr
    (line,) = [line for line in run.stderr.splitlines() if "recording stopped" in line]
    assert "No space left on device" in line and "the audio continues" in line
    hops = int(run.stdout.split(" hops,")[0].split()[-1])
    assert hops > 5 * 48000 // 256, "six seconds of the demo were played"
    lengths = {soundfile.info(path).frames for path in kept.glob("*.wav")}
    assert len(lengths) == 1 and 0 < lengths.pop() < 6 * 48000
