"""A user who runs the commands of the pages: with folders, the named files and a sound server.

A shell runs the commands; those that play for long are shortened.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import soundfile

from rtsep.files.demo import demo_song
from rtsep.model.catalog import shipped_folder
from tests.docs.commands import Command
from tests.train import song_folders
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300.0  # a first run compiles
RATE = 44100
PLAYS_S = "0.5"

SHORTER = {
    "rtsep live": {"--seconds": PLAYS_S, "--headless": ""},
    "rtsep bench hop": {"--seconds": "0.5"},
    "rtsep bench stress": {"--seconds": "1"},
    "rtsep bench file": {"--minutes": "0.1"},
    "rtsep bench start": {"--runs": "1"},
}
"""Options that a command gets if the page gives it none; by its beginning."""

CODES = {"rtsep doctor": (0, 1)}
"""Exit codes that are right, where others than 0 are: a machine of tests may well need something."""

ENDLESS = {"rtsep app": "page: ", "rtsep midi monitor": "waiting for messages"}
"""Commands that play or print until Ctrl-C, and a word that they print once they are there."""

WITH_A_SESSION = ("rtsep attach", "rtsep get", "rtsep set", "rtsep stop", 'rtsep presets save "as it is"')
"""Commands that need a session to talk to."""


def make_files(folder: Path) -> None:
    """Write the files that the pages name."""
    song, rate = soundfile.read(demo_song(), frames=3 * 48000, dtype="float32", always_2d=True)
    (folder / "music" / "live").mkdir(parents=True)
    for name in ("song.flac", "song.mp3", "other.wav", "music/a.flac", "music/live/b.wav"):
        soundfile.write(folder / name, song[: rate * (3 if name == "song.flac" else 1)], rate)
    (folder / "songs.txt").write_text("song.mp3\nmusic/a.flac\n")
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=s=16x16:d=2", "-i", folder / "song.flac",
         "-shortest", folder / "film.mkv"],
        check=True,
    )  # fmt: skip
    (folder / "my-model").mkdir()
    shutil.copy(shipped_folder() / "live.pt", folder / "my-model" / "mine.pt")
    for name in ("First Song", "Second Song"):
        for hz, stem in zip((300, 400, 500, 600), song_folders.STEMS, strict=True):
            song_folders.tone(folder / "MY_STEMS" / name / f"{stem}.wav", hz, seconds=1.0)


def make_clone(folder: Path) -> None:
    """Make what looks to `make` like a clone whose environment is whole, so that it installs nothing."""
    for path in ROOT.iterdir():
        if path.name not in (".git", ".venv", "out", "man", "dist"):
            (folder / path.name).symlink_to(path)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, runs in {"python": "", "rtsep": " -m rtsep", "mkdocs": " -m mkdocs"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{runs} "$@"\n')
        (programs / name).chmod(0o755)
    (programs / "activate").write_text("")
    (folder / ".venv" / "pyvenv.cfg").write_text("")
    version = f"{sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]}"
    for stamp in (f".made-by-{version}", ".live", ".dev"):
        (folder / ".venv" / stamp).touch()


def shortened(command: Command) -> str:
    """Return what the shell gets: the command of the page, and options that end it soon."""
    options = next((more for start, more in SHORTER.items() if command.text.startswith(start)), {})
    more = [f"{name} {value}".strip() for name, value in options.items() if name not in command.words]
    text, mark, target = command.text.partition(" > ")
    return " ".join([text, *more]) + mark + target


class PageUser:
    """A user who types the commands of one page, one after the other."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Set up `folder`. `environment` leads to the sound server, if there is one."""
        self.folder = folder / "work"
        self.folder.mkdir()
        make_clone(self.folder)
        make_files(self.folder)
        home = folder / "home"
        for place in (".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions"):
            (home / place).mkdir(parents=True)
        self.environment = {
            **environment,
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_STATE_HOME": str(home / ".local/state"),
            "XDG_DATA_HOME": str(home / ".local/share"),
            "RTSEP_SOCKETS": str(folder / "s"),
            "EDITOR": "true",
            "BROWSER": "true",
            "PYTHONPATH": str(ROOT),
            "PATH": f"{self.folder / '.venv' / 'bin'}:{os.environ['PATH']}",
        }
        self._session: subprocess.Popen[bytes] | None = None

    def run(self, command: Command) -> None:
        """Run a command of the page. Fails if it does not end as it should."""
        if command.text == "rtsep set preset chorus":
            presets = Path(self.environment["XDG_CONFIG_HOME"]) / "rtsep" / "presets"
            presets.mkdir(parents=True, exist_ok=True)
            (presets / "chorus.toml").write_text("threshold = 0.3\n")
        if command.text.startswith(WITH_A_SESSION):
            self._have_a_session()
        if command.text == "rtsep attach":
            self._attach()
        elif waits := next((word for text, word in ENDLESS.items() if command.text.startswith(text)), None):
            self._interrupt(command, waits)
        else:
            run = self._shell(shortened(command))
            right = next((codes for text, codes in CODES.items() if command.text.startswith(text)), (0,))
            assert run.returncode in right, self._failed(command, run.returncode, run.stdout + run.stderr)
            assert "Traceback" not in run.stderr, run.stderr
        if command.text == "rtsep stop" and self._session is not None:
            assert self._session.wait(PATIENCE_S) == 0, "the session should end in order"

    def _shell(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run a line of shell; all that it started ends with it if it lasts too long."""
        with subprocess.Popen(
            ["sh", "-c", text], cwd=self.folder, env=self.environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                out, said = process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, said = process.communicate()
                said += f"\nit did not end within {PATIENCE_S:g} s"
        return subprocess.CompletedProcess(text, process.returncode, out, said)

    def _failed(self, command: Command, code: int | None, said: str) -> str:
        return (
            f"{command.page}, line {command.line}: '{shortened(command)}' ended with {code}:\n{said}\n"
            "Mend the command, or write '# not run here: WHY' behind it"
        )

    def _have_a_session(self) -> None:
        if self._session is not None and self._session.poll() is None:
            return
        words = ["live", "--in", "demo", "--out-device", "virtual", "--headless", "--session", "default"]
        self._session = subprocess.Popen(
            [sys.executable, "-m", "rtsep", *words], cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

        def plays() -> bool:
            look = ["rtsep", "get", "state"]
            found = subprocess.run(look, env=self.environment, capture_output=True, text=True)
            stored = Path(self.environment["XDG_STATE_HOME"]) / "rtsep" / "last.toml"
            return "playing" in found.stdout and stored.exists()  # written a second after the start

        until(plays, "a session should play", PATIENCE_S, 0.5)

    def _attach(self) -> None:
        from tests.surfaces.view.terminal import Terminal

        terminal = Terminal("-m", "rtsep", "attach", columns=120, rows=40, **self.environment)
        try:
            terminal.until_shown("threshold")
            terminal.type("q")
            while terminal.read():
                pass
            assert terminal.process.wait(PATIENCE_S) == 0
        finally:
            terminal.close()
        assert self._session is not None and self._session.poll() is None, "the session should play on"

    def _interrupt(self, command: Command, word: str) -> None:
        log = self.folder / "said.txt"
        with log.open("wb") as file:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {shortened(command)}"], cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            until(
                lambda: word in log.read_text() or process.poll() is not None, str(command.text), PATIENCE_S
            )
            process.send_signal(signal.SIGINT)
            code = process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()
        said = log.read_text()
        assert word in said and code in (0, 130), self._failed(command, code, said)

    def close(self) -> None:
        """End the session that was started for the page."""
        if self._session is not None and self._session.poll() is None:
            self._session.terminate()
            self._session.wait(PATIENCE_S)
