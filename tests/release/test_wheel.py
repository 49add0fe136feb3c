"""The wheels and the sdist that `make dist` builds: what they hold, and that a wheel alone plays.

`make test-wheel` builds them, names their folder in RTSEP_DIST and runs these tests.
"""

from __future__ import annotations

import email
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 1500.0  # an installation of torch, or a first start, which compiles

pytestmark = pytest.mark.skipif("RTSEP_DIST" not in os.environ, reason="make test-wheel runs it")


PURE, LINUX = "*-none-any.whl", "*-manylinux_*_x86_64.whl"
LINUX_X86_64 = sys.platform == "linux" and platform.machine() == "x86_64"


def built(pattern: str) -> Path:
    """Return the one file that matches `pattern` in the folder of built files."""
    (path,) = Path(os.environ["RTSEP_DIST"]).resolve().glob(pattern)
    return path


def run(*words: object, cwd: Path, **environment: str) -> list[str]:
    """Run a program to its end, away from the source tree; return the lines of its standard output."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [*map(str, words)],
        cwd=cwd,
        env=bare | environment,
        text=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()


@pytest.mark.parametrize("kind", [PURE, LINUX], ids=["for all", "for Linux"])
def test_a_wheel_holds_licences_models_and_nothing_else(kind):
    with zipfile.ZipFile(built(kind)) as wheel:
        names = wheel.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        headers = email.message_from_bytes(wheel.read(metadata))
    folder = metadata.removesuffix("METADATA")
    data = folder.replace(".dist-info/", ".data")
    assert {name.split("/")[0] for name in names} == {"rtsep", folder.rstrip("/"), data}
    assert [name for name in names if name.startswith(data)] == [f"{data}/data/share/man/man1/rtsep.1"]
    assert headers["License-Expression"].startswith("MIT AND CC0-1.0 AND LicenseRef-")
    files = headers.get_all("License-File", [])
    assert {f"{folder}licenses/{file}" for file in files} <= set(names)
    for model in (ROOT / "rtsep" / "assets" / "models").glob("*.pt"):
        assert f"rtsep/assets/models/{model.name}" in names
        assert f"rtsep/assets/models/{model.stem}.LICENSE.txt" in files
    for source in (ROOT / "plugin").glob("*.[ch]"):
        assert f"rtsep/assets/plugin/{source.name}" in names
    objects = [name for name in names if name.endswith((".so", ".pyd", ".dll", ".o"))]
    assert objects == ([] if kind == PURE else ["rtsep/assets/plugin/rtsep.so"])


def test_auditwheel_is_content_with_the_wheel_for_linux():
    wheel = built(LINUX)
    (said,) = [" ".join(run(sys.executable, "-m", "auditwheel", "show", wheel, cwd=wheel.parent))]
    least = re.search(r'consistent with the following platform tag: "manylinux_(\d+)_(\d+)_x86_64"', said)
    claimed = re.search(r"-manylinux_(\d+)_(\d+)_x86_64", wheel.name)
    assert least and claimed, said
    assert [int(n) for n in least.groups()] <= [int(n) for n in claimed.groups()], said


def test_the_sdist_holds_what_git_holds():
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    with tarfile.open(built("*.tar.gz")) as sdist:
        held = {re.sub(r"^[^/]+/", "", name) for name in sdist.getnames()}
    assert set(kept.splitlines()) - held <= {".gitignore"}


PIP = ("-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel for this system into a new virtual environment; return the folder of its programs."""
    place = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", place / "venv", cwd=place)
    programs = place / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    wheel = built(LINUX if LINUX_X86_64 else PURE)
    run(programs / "python", *PIP, "-c", ROOT / "constraints.txt", wheel, cwd=place)
    return programs


def test_the_installed_wheel_plays_the_demo(installed, tmp_path):
    run(installed / "rtsep", "live", "--in", "demo", "--out-device", "virtual", "--seconds", 3, cwd=tmp_path)
    record = ("--record", "takes", "--headless", "--json")
    lines = run(
        installed / "rtsep", "live", "--in", "demo", "--out-device", "virtual", "--seconds", 3, *record,
        cwd=tmp_path,
    )  # fmt: skip
    end = json.loads(lines[-1])
    assert end["final"] is True
    assert end["model"]["error"] == ""
    assert end["hops"] > 500
    for stem in ("vocals", "instrumental"):
        sound, rate = soundfile.read(tmp_path / "takes" / f"{stem}.wav")
        assert len(sound) > 2.5 * rate
        assert abs(sound).max() > 0.05


def test_the_installed_wheel_tells_the_licences(installed, tmp_path):
    (listed,) = map(json.loads, run(installed / "rtsep", "models", "--json", cwd=tmp_path))
    assert listed["broken"] == []
    terms = {model["name"]: model["terms"] for model in listed["models"]}
    assert terms["open"] == "free"
    assert terms["live"] == "non-commercial"


@pytest.mark.skipif(not LINUX_X86_64, reason="the wheel with the built plugin is for Linux on x86-64")
def test_the_plugin_needs_no_compiler_from_the_wheel_for_linux_and_one_from_the_other(installed, tmp_path):
    install = (installed / "rtsep", "plugin", "install", "--folder", tmp_path)
    check = (installed / "rtsep", "plugin", "check", "--folder", tmp_path)
    run(*install, cwd=tmp_path, CC="/nowhere/cc")
    run(*check, cwd=tmp_path)

    pure = (installed / "python", *PIP, "--no-deps", "--force-reinstall", built(PURE))
    run(*pure, cwd=tmp_path)
    with pytest.raises(AssertionError, match="apt-get install gcc libc6-dev lv2-dev"):
        run(*install, cwd=tmp_path, CC="/nowhere/cc")
    if shutil.which("cc") and Path("/usr/include/lv2").is_dir():
        run(*install, cwd=tmp_path)
        run(*check, cwd=tmp_path)
