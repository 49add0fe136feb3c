"""`rtsep service`: the unit it writes, with and without a user manager, and its command as it is run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.cli import service
from rtsep.cli.main import main
from rtsep.cli.systemd import quoted, unit_text
from rtsep.errors import OutputError
from rtsep.surfaces.remote.place import claim
from tests import waiting
from tests.cli.program import PATIENCE_S, ROOT, Outcome, assert_refused, rtsep_here

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


@pytest.fixture
def user(tmp_path):
    """Folders of a user for whom no user manager runs."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    return {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_RUNTIME_DIR": str(runtime),
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus",
        "RTSEP_SOCKETS": "",
    }


def unit(user, name="rtsep.service") -> Path:
    return Path(user["XDG_CONFIG_HOME"]) / "systemd" / "user" / name


def command(path: Path) -> list[str]:
    """Return ExecStart of a unit, which here needs no more than a shell's reading."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string(path.read_text())
    return shlex.split(parser["Service"]["ExecStart"].replace("%%", "%").replace("$$", "$"))


def test_a_unit_is_written_once_and_removed(user):
    options = ("--", "--in", "demo", "--out", "vocals", "--record", "my 100% $takes")
    first = rtsep_here("service", "install", *options, **user)
    assert first.code == 0
    assert first.out[0] == f"{unit(user)}: written"
    assert "no systemd user manager is running here" in first.out[1]
    assert first.out[2].endswith(
        "systemctl --user daemon-reload && systemctl --user enable --now rtsep.service"
    )
    text = unit(user).read_text()
    again = rtsep_here("service", "install", *options, **user)
    assert again.out[0] == f"{unit(user)}: unchanged"
    assert unit(user).read_text() == text
    words = command(unit(user))
    assert Path(words[0]).is_absolute()
    assert words[-8:] == ["--session", "default", *options[1:]]
    assert {"--headless", "--resume"} <= set(words)
    if shutil.which("systemd-analyze"):
        verified = subprocess.run(
            ["systemd-analyze", "verify", "--user", "--man=no", unit(user)],
            env=os.environ | user, capture_output=True, text=True,
        )  # fmt: skip
        # units of other programs have faults too
        of_ours = [line for line in verified.stderr.splitlines() if "rtsep.service" in line]
        assert (verified.returncode, of_ours) == (0, [])

    assert rtsep_here("service", "status", "--json", **user).json[0]["installed"] is True
    assert rtsep_here("service", "remove", **user).out[0] == f"{unit(user)}: removed"
    assert not unit(user).exists()
    assert rtsep_here("service", "remove", **user).out == [
        f"{unit(user)}: this service is not installed; run 'rtsep service install'"
    ]
    assert rtsep_here("service", "status", "--json", **user).json[0]["installed"] is False


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--block", "3"), "--block 3: must be a whole number from 16"),
        (("--inn", "mic"), "--inn"),
        (("--threshold", "7"), "--threshold 7: out of range"),
        (("--json",), "rtsep get --json"),
        (("--session=x",), "before '--'"),
        (("--sess", "x"), "before '--'"),
        (("--sec", "5"), "--seconds: a service plays until"),
        (("--no-rem",), "--no-remote: a service can be reached"),
    ],
    ids=lambda value: "-".join(value).strip("-") if isinstance(value, tuple) else "",
)
def test_options_that_live_would_refuse_are_refused_now(user, options, why, monkeypatch, capsys):
    for name, value in user.items():
        monkeypatch.setenv(name, value)
    try:
        code = main(["service", "install", "--", *options])
    except SystemExit as leave:  # argparse's way
        code = leave.code
    assert code == 2
    assert why in capsys.readouterr().err
    assert not unit(user).exists()


@pytest.mark.parametrize(
    ("setting", "why", "override"),
    [
        ("remote = false", "remote: a service can be reached", ("--remote",)),
        ("json = true", "json: nobody reads", ("--no-json",)),
        ("seconds = 30", "seconds: a service plays until", ()),
    ],
)
def test_settings_that_a_service_cannot_have_are_refused(user, tmp_path, setting, why, override):
    settings = tmp_path / "rtsep.toml"
    settings.write_text(f"block = 256\n{setting}\n")
    environment = user | {"RTSEP_CONFIG": str(settings)}
    outcome = rtsep_here("service", "install", **environment)
    assert_refused(outcome, 2, f"{settings}, line 2: {why}", "rtsep config unset")
    assert not unit(user).exists()
    if override:
        assert rtsep_here("service", "install", "--", *override, **environment).code == 0


def test_it_tries_again_without_an_end(user):
    parser = RawConfigParser(strict=False)
    parser.read_string(unit_text("default", [], Path("/")))
    assert parser["Unit"]["StartLimitIntervalSec"] == "0"
    assert parser["Service"]["RestartSec"] == "5"


@pytest.fixture
def fake(user, tmp_path, monkeypatch):
    """A systemctl that logs its words; each unit is in the state that the file `state` contains."""
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/log\n[ "$2" != is-active ] || cat {tmp_path}/state\n'
    )
    systemctl.chmod(0o755)
    (tmp_path / "state").write_text("active\n")
    monkeypatch.setattr(service, "STARTS_WITHIN_S", 0.0)
    return user | {"PATH": f"{systemctl.parent}:{os.environ['PATH']}"}


def test_install_tells_what_has_become_of_the_start(fake, tmp_path):
    def installed(state: str) -> Outcome:
        (tmp_path / "state").write_text(f"{state}\n")
        return rtsep_here("service", "install", **fake)

    assert "does not answer yet" in installed("active").out[1]
    again = installed("activating")
    assert again.code == 0 and "started again every 5 s" in again.out[1]
    failed = installed("failed")
    assert failed.code == OutputError.exit_code
    assert "has ended (failed)" in failed.said[-1] and "journalctl --user -u rtsep.service" in failed.said[-1]


def test_a_name_that_a_session_outside_the_service_holds_is_told(fake, tmp_path, monkeypatch):
    for name, value in fake.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "state").write_text("inactive\n")
    held = claim("default")
    try:
        outcome = rtsep_here("service", "install", **fake)
    finally:
        held.close()
    assert outcome.code == 2
    assert "session 'default' already plays outside it" in outcome.said[-1]
    assert "systemctl --user restart rtsep.service" in outcome.said[-1]
    verbs = [line.split()[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert "enable" in verbs and not {"start", "restart"} & set(verbs)


def test_a_user_manager_is_told(fake, user, tmp_path):
    log, systemctl = tmp_path / "log", tmp_path / "bin" / "systemctl"
    path = fake["PATH"]
    install = ("service", "install", "--session", "stage")
    assert rtsep_here(*install, PATH=path, **user).code == 0
    assert unit(user, "rtsep-stage.service").exists()
    asked = ("show-environment", "is-active")
    verbs = [line for line in log.read_text().splitlines() if line.split()[1] not in asked]
    its = "rtsep-stage.service"
    assert verbs == [f"--user {verb}" for verb in ("daemon-reload", f"enable {its}", f"restart {its}")]
    log.unlink()
    assert rtsep_here(*install, PATH=path, **user).code == 0
    assert f"--user start {its}" in log.read_text()  # what plays with the same unit plays on
    (status,) = rtsep_here("service", "status", "--session", "stage", "--json", PATH=path, **user).json
    assert (status["active"], status["plays"]) == ("active", None)
    log.unlink()
    assert rtsep_here("service", "remove", "--session", "stage", PATH=path, **user).code == 0
    assert f"--user disable --now {its}" in log.read_text()
    systemctl.write_text(
        '#!/bin/sh\n[ "$2" = show-environment ] || { echo "Unit is masked." >&2; exit 1; }\n'
    )
    assert (
        rtsep_here(*install, PATH=path, **user)
        .said[-1]
        .startswith("rtsep: 'systemctl --user daemon-reload' failed: Unit is masked.")
    )


@pytest.mark.parametrize("name", ["x\nExecStartPre=/bin/touch /tmp/pwned", "x\ry", "x\udcff"])
def test_a_folder_of_a_stranger_adds_no_line_to_the_unit(name):
    with pytest.raises(OutputError, match="printable characters only"):
        unit_text("default", [], Path("/music") / name)


def test_words_are_quoted_as_systemd_reads_them():
    assert quoted("--in") == "--in"
    assert quoted("a b") == '"a b"'
    assert quoted('say "hi"') == '"say \\"hi\\""'
    assert quoted("100%") == "100%%"
    assert quoted("$HOME") == "$$HOME"
    assert quoted("a;b") == '"a;b"'
    assert quoted("") == '""'


def test_the_command_of_the_unit_plays_in_a_bare_environment_and_is_turned(user, tmp_path):
    """As the user manager starts it: with HOME and XDG_RUNTIME_DIR, and no more."""
    song = tmp_path / "ten minutes.flac"  # the demo may end before a busy machine has run all commands
    soundfile.write(song, np.zeros(600 * 44100, np.int16), 44100)
    assert rtsep_here("service", "install", "--", "--in", song, "--out-device", "virtual", **user).code == 0
    home = tmp_path / "home"
    home.mkdir()
    # The compile cache of the tests stands in for one of a service that has been started before.
    cache = {name: os.environ[name] for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME") if name in os.environ}
    bare = {"HOME": str(home), "XDG_RUNTIME_DIR": user["XDG_RUNTIME_DIR"], **cache}
    process = subprocess.Popen(
        command(unit(user)), env=bare, cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:

        def get(*words: str) -> str:
            outcome = rtsep_here("get", *words, **user)
            return outcome.out[0] if outcome.code == 0 else ""

        waiting.until(lambda: get("state") == "playing", "it should play", PATIENCE_S, every_s=0.5)
        assert rtsep_here("set", "vocals-gain", "-6dB", **user).code == 0
        assert get("vocals_gain") == "-6 dB"
        assert json.loads(get("--json"))["output"] == "virtual"
        assert rtsep_here("service", "status", "--json", **user).json[0]["plays"] == "playing"
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 0, said
        assert rtsep_here("get", **user).code == 8
    finally:
        process.kill()
        process.wait()
