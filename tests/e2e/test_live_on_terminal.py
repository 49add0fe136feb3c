"""`rtsep live` for a performer: on a terminal with keys and mouse, and without a terminal."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("pty", reason="a terminal of POSIX")

from tests.e2e.exact import no_clean_take, noise
from tests.e2e.liveprocess import ROOT, START_PATIENCE_S, no_jack
from tests.models import make_model
from tests.surfaces.view.terminal import ENTERS, Terminal

ATTEMPTS = 5
PLAYED_S = 6
NO_JACK = {"JACK_DEFAULT_SERVER": "rtsep-test-none", "JACK_NO_START_SERVER": "1"}
SUMMARY = re.compile(
    r"(\d+) hops, (\d+) late masks, (\d+) underruns, (\d+) overruns, (\d+) device xruns, (\d+) model restarts"
)

LATE = re.compile(r"\d+ masks? came late: ")
"""Lines that a busy machine adds to the summary."""


@pytest.fixture
def home(tmp_path, half_model) -> dict[str, str]:
    """A user's folders, with a model of their own in them."""
    models = tmp_path / "data" / "rtsep" / "models"
    models.mkdir(parents=True)
    make_model(models / "zeros.pt", "zeros")
    return {f"XDG_{kind.upper()}_HOME": str(tmp_path / kind) for kind in ("config", "data", "state")}


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, 0.1 * noise(300 * 44100), 44100, subtype="PCM_16")
    return path


@pytest.fixture
def open_live(home, half_model, song):
    made = []

    def start(*arguments: object, columns: int = 80, rows: int = 24, leads: bool = False, **variables: str):
        words = ("-m", "rtsep", "live", "--in", song, "--model", half_model, *arguments)
        environment = {**NO_JACK, **home, **variables}
        made.append(Terminal(*words, columns=columns, rows=rows, leads=leads, **environment))
        return made[-1]

    yield start
    for terminal in made:
        terminal.close()


def until_playing(terminal: Terminal) -> None:
    over = time.monotonic() + START_PATIENCE_S
    while "playing" not in terminal.text:
        assert terminal.read(), terminal.sent
        assert time.monotonic() < over, terminal.sent


@pytest.mark.flaky(reruns=2)  # a crowded machine may need longer for it than the demo plays
@pytest.mark.parametrize("size", [(80, 24), pytest.param((200, 60), marks=pytest.mark.long)])
def test_played_by_hand_from_beginning_to_end(open_live, tmp_path, size):
    terminal = open_live(
        "--out-device", "virtual", "--record", tmp_path / "takes", "--gate", "0.1",
        columns=size[0], rows=size[1],
    )  # fmt: skip
    until_playing(terminal)
    terminal.until_shown(r"gate .*0\.10 command")
    terminal.until_shown(r"● REC 0:00:0[1-9]")
    terminal.type("r")
    terminal.until_shown("○ not recording")
    terminal.type("\x1b[C\x1b[C")  # right, right
    terminal.until_shown(r"threshold .*0\.10 key")
    x, y = terminal.find("bypass ")
    terminal.mouse(64, x + 1, y)  # the wheel
    terminal.until_shown(r"bypass .* on mouse")
    terminal.type("r")
    terminal.until_shown("REC 0:00:00")
    terminal.type("m")
    terminal.until_shown("half.*●|● .*half")
    terminal.type("zeros\r")
    terminal.until_shown("(?s)^(?!.*another model).*model test-zeros ready")
    terminal.type("svers\r")
    terminal.until("saved as preset 'vers'")  # shown for a moment only, if another line follows
    terminal.type("b0")
    terminal.until_shown(r"bypass .* off key")
    terminal.type("p\r")
    terminal.until_shown(r"bypass .* on preset")
    terminal.type("d")  # last: the demo ends within half a minute, and a crowded machine is slow
    terminal.until_shown(r"● output virtual")
    terminal.type("input demo\r")
    terminal.until_shown(r"(?s)^(?!.*another device).*playing")
    terminal.type("q")
    after = terminal.end()
    counted = SUMMARY.search(after)
    assert counted, after
    assert int(counted[6]) == 0
    takes = re.findall(r"recorded (\S+), (\S+), (\S+)", after)
    assert {Path(take[0]).parent.name for take in takes} >= {"takes", "take-2"}
    for take in takes:
        assert len({soundfile.info(path).frames for path in take}) == 1
    assert "Traceback" not in terminal.sent


def test_without_a_terminal_there_is_no_view(home, half_model):
    words = ("live", "--in", "demo", "--model", str(half_model), "--out-device", "virtual", "--seconds", "1")
    piped = subprocess.run(
        [sys.executable, "-m", "rtsep", *words], cwd=ROOT, env=no_jack() | home,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_PATIENCE_S,
    )  # fmt: skip
    assert piped.returncode == 0, piped.stderr
    assert "\x1b" not in piped.stdout + piped.stderr
    told = [line for line in piped.stdout.splitlines() if not LATE.match(line)]
    assert len(told) == 2, piped.stdout


@pytest.mark.long
def test_by_request_or_on_a_dumb_terminal_there_is_no_view(open_live):
    headless = open_live("--out-device", "virtual", "--seconds", "1", "--headless")
    dumb = open_live("--out-device", "virtual", "--seconds", "1", TERM="dumb")
    for terminal in (headless, dumb):
        while terminal.read():
            pass
        assert terminal.process.wait() == 0
        assert ENTERS not in terminal.sent
        assert SUMMARY.search(terminal.sent)


def test_a_window_that_is_closed_ends_the_session_in_order(open_live, tmp_path):
    terminal = open_live("--out-device", "virtual", "--record", tmp_path / "takes", leads=True)
    until_playing(terminal)
    terminal.type("5")
    terminal.until_shown("0.50 key")
    terminal.hang_up()
    terminal.process.wait(60)
    assert terminal.process.returncode == 0
    lengths = {soundfile.info(path).frames for path in (tmp_path / "takes").glob("*.wav")}
    assert len(lengths) == 1  # closed, not cut off
    state = (tmp_path / "state" / "rtsep" / "last.toml").read_text()
    assert "threshold = 0.5" in state


def test_under_nohup_it_plays_on_without_the_window(open_live, tmp_path):
    ignoring = tmp_path / "ignoring.py"
    ignoring.write_text(
        "import signal, sys\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from rtsep.cli.main import main\nsys.exit(main())\n"
    )
    terminal = Terminal(
        ignoring, "live", "--in", "demo", "--out-device", "virtual", "--seconds", str(PLAYED_S),
        "--record", tmp_path / "takes", leads=True, **NO_JACK,
    )  # fmt: skip
    try:
        until_playing(terminal)
        terminal.hang_up()
        terminal.process.wait(PLAYED_S + 60)
        assert terminal.process.returncode == 0
    finally:
        terminal.close()
    (length,) = {soundfile.info(path).frames for path in (tmp_path / "takes").glob("*.wav")}
    assert length == PLAYED_S * soundfile.info(tmp_path / "takes" / "mix.wav").samplerate


@pytest.mark.jack
def test_a_server_that_comes_later_is_listed_and_played_on(start_server, open_live):
    server = start_server(rate=44100, period=256)
    server.stop()
    environment = {"JACK_DEFAULT_SERVER": server.name, "JACK_NO_AUDIO_RESERVATION": "1"}
    terminal = open_live("--out-device", "virtual", "--out", "vocals", **environment)
    until_playing(terminal)
    terminal.type("d")
    terminal.until_shown("Enter chooses")
    assert "JACK" not in terminal.text
    terminal.type("\x1b")
    terminal.until_shown("(?s)^(?!.*another device)")
    server.start()
    terminal.type("d")
    terminal.until_shown("output JACK server")
    terminal.type("output jack\r")
    terminal.until_shown(r"(?s)^rtsep  song.wav -> JACK server .*playing")
    client = server.client("looking")
    ports = [port.name for port in client.get_ports("rtsep:.*")]
    client.close()
    assert "rtsep:vocals_L" in ports
    terminal.type("q")
    assert SUMMARY.search(terminal.end())


@pytest.mark.jack
def test_on_a_jack_server_the_view_costs_no_hop(start_server, open_live):
    """At its largest, with every list opened and many keys pressed; the machine's own xruns are counted."""
    server = start_server(rate=44100, period=256)
    tried = []
    for _ in range(ATTEMPTS):
        terminal = open_live(
            "--seconds", str(PLAYED_S), columns=200, rows=60, COLORTERM="truecolor",
            JACK_DEFAULT_SERVER=server.name, JACK_NO_AUDIO_RESERVATION="1",
        )  # fmt: skip
        until_playing(terminal)
        terminal.until_shown("JACK server")
        terminal.shows = False
        for key in ("m", "\x1b", "d", "\x1b", "?", "\x1b", *"vViIbk" * 2):
            terminal.type(key)
            terminal.watch(0.2)
        found = SUMMARY.search(terminal.end())
        assert found
        hops, late, underruns, overruns, xruns = (int(count) for count in found.groups()[:5])
        assert hops >= PLAYED_S * 44100 // 256
        if underruns == overruns == xruns == 0:
            return
        tried.append(f"{underruns} underruns, {overruns} overruns, {xruns} xruns, {late} late masks")
    no_clean_take(server.period / server.rate, tried)
