"""A private PipeWire with its session manager, a sink and a microphone, for one test; gone with the test."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from rtsep.audio.jack_library import pipewire_library
from tests.e2e.jackserver import die_with_parent
from tests.waiting import until

PROGRAMS = ("pipewire", "wireplumber", "dbus-daemon", "pw-metadata", "pw-link", "pw-cli", "pw-record")

SPEAKERS, MICROPHONE, SPARE = "speakers", "microphone", "spare"
_NODE = """
  {{ factory = adapter args = {{ factory.name = support.null-audio-sink node.name = {name}
     node.description = {name} media.class = {kind} audio.position = "FL,FR"
     priority.session = {rank} }} }}"""
_CONFIG = "context.objects = [{}\n]\n"


def missing() -> list[str]:
    """Return what a test on PipeWire lacks on this machine."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return absent if pipewire_library() else [*absent, "pipewire-jack"]


class PipeWireServer:
    """Sinks SPEAKERS and SPARE, source MICROPHONE. The first and the last are the defaults when it starts."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="rtsep-pw-"))  # short: sockets lie in it
        for name in ("run", "home", "home/config/pipewire/pipewire.conf.d"):
            (self._folder / name).mkdir(mode=0o700, parents=True)
        sink, source = "Audio/Sink", "Audio/Source/Virtual"
        nodes = [(SPEAKERS, sink, 1000), (SPARE, sink, 500), (MICROPHONE, source, 2000)]
        config = self._folder / "home/config/pipewire/pipewire.conf.d/10-test.conf"
        written = (_NODE.format(name=name, kind=kind, rank=rank) for name, kind, rank in nodes)
        config.write_text(_CONFIG.format("".join(written)))
        self._children: list[subprocess.Popen[bytes]] = []
        self._start("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={self._bus}")
        until((self._folder / "run/bus").exists, "a bus should be there")
        self.start()

    @property
    def _bus(self) -> str:
        return f"unix:path={self._folder / 'run/bus'}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which a client's process finds this server, and no JACK server."""
        others = ("PIPEWIRE_", "PULSE_", "DBUS_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        return kept | {
            "HOME": str(self._folder / "home"),
            "XDG_RUNTIME_DIR": str(self._folder / "run"),
            "XDG_CONFIG_HOME": str(self._folder / "home/config"),
            "XDG_STATE_HOME": str(self._folder / "home/state"),
            "DBUS_SESSION_BUS_ADDRESS": self._bus,
            "JACK_DEFAULT_SERVER": "rtsep-test-none",
            "JACK_NO_START_SERVER": "1",
        }

    def start(self) -> None:
        """Start (again) and wait until its ports are there."""
        self._servers = [self._start("pipewire")]
        until(lambda: self._said("pw-cli", "info", "0"), "PipeWire should answer")
        self._servers.append(self._start("wireplumber"))
        until(lambda: f"{SPEAKERS}:playback_FL" in self._said("pw-link", "-i"), "the sink should have ports")
        until(lambda: f"{MICROPHONE}:capture_FL" in self._said("pw-link", "-o"), "and the microphone")
        defaults = [f'"{name}"' for name in (SPEAKERS, MICROPHONE)]
        until(lambda: all(name in self._said("pw-metadata", "0") for name in defaults), "and be the defaults")

    def stop(self) -> None:
        """End it, session manager first."""
        for server in reversed(self._servers):
            server.terminate()
            server.wait(10)

    def send(self, number: int) -> None:
        """Send PipeWire itself a signal."""
        self._servers[0].send_signal(number)

    def change(self, name: str, value: object) -> None:
        """Set `clock.NAME`, "force-quantum" or "force-rate" for instance."""
        self._said("pw-metadata", "-n", "settings", "0", f"clock.{name}", str(value))

    def choose_sink(self, name: str) -> None:
        """Make `name` the default sink, as the settings of a desktop do."""
        value = json.dumps({"name": name})
        self._said("pw-metadata", "0", "default.configured.audio.sink", value, "Spa:String:JSON")

    def record(self, path: Path) -> subprocess.Popen[bytes]:
        """Let a recorder take what the microphone gives, as a bystander; return its process."""
        return self._start("pw-record", "--target", MICROPHONE, str(path))

    def links(self) -> set[tuple[str, str]]:
        """Return the connections between ports, from one to the other."""
        found, first = set(), ""
        for line in self._said("pw-link", "-l").splitlines():
            if match := re.match(r"\s+\|-> (.*)", line):
                found.add((first, match[1]))
            elif not line.startswith(" "):
                first = line
        return found

    def _said(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=20)
        return done.stdout if done.returncode == 0 else ""

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=die_with_parent,
        )  # fmt: skip
        self._children.append(child)
        return child

    def remove(self) -> None:
        """End all that was started."""
        for child in reversed(self._children):
            if child.poll() is None:
                child.kill()
                child.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
