"""Servers, live processes, players and recorders, which end with the test, even if it fails.

Nothing here imports libjack before a test asks for a server: without one the tests are skipped, not broken.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.liveprocess import LiveProcess, no_jack
from tests.e2e.rig import Rig
from tests.models import make_model

if TYPE_CHECKING:
    from tests.e2e.jackserver import JackServer
    from tests.e2e.midi_peer import MidiPeer, Witness
    from tests.e2e.player_recorder import PlayerRecorder
    from tests.e2e.room import Room

HOW_TO_GET = "apt-get install --no-install-recommends jackd2 libportaudio2"


@pytest.fixture
def start_server() -> Iterator[Callable[..., JackServer]]:
    """Starts private JACK servers: `start_server(rate=44100, period=256)`."""
    if shutil.which("jackd") is None:
        pytest.skip(f"no jackd on this machine (Debian, Ubuntu: {HOW_TO_GET})")
    from tests.e2e.jackserver import JackServer

    with ExitStack() as stack:
        yield lambda **how: stack.enter_context(JackServer(**how))


@pytest.fixture
def start_live() -> Iterator[Callable[..., LiveProcess]]:
    """Starts `rtsep live`: `start_live("--in", "mic", server=server)`; without one, it finds none."""
    with ExitStack() as stack:

        def start(*arguments: Any, server: JackServer | None = None) -> LiveProcess:
            environment = server.environment if server else no_jack()
            live = LiveProcess(*map(str, arguments), environment=environment)
            stack.callback(live.kill)
            return live

        yield start


@pytest.fixture
def open_player_recorder(start_server: Any) -> Iterator[Callable[..., PlayerRecorder]]:
    """Opens players and recorders: `open_player_recorder(server, inputs=4)`. Closed before their server."""
    from tests.e2e.player_recorder import PlayerRecorder

    with ExitStack() as stack:

        def open_one(server: JackServer, **how: int) -> PlayerRecorder:
            player_recorder = PlayerRecorder(server, **how)
            stack.callback(player_recorder.close)
            return player_recorder

        yield open_one


@pytest.fixture
def start_rig(start_server: Any, open_player_recorder: Any, start_live: Any) -> Callable[..., Rig]:
    """Starts a server, `rtsep live`, player and recorder: `start_rig("--bypass", period=64, inputs=2)`."""

    def start(
        *arguments: Any, period: int = 256, rate: int = 44100, outputs: int = 2, inputs: int = 4
    ) -> Rig:
        server = start_server(period=period, rate=rate)
        live = start_live("--in", "mic", *arguments, server=server)
        player_recorder = open_player_recorder(server, outputs=outputs, inputs=inputs)
        return Rig(server, live, player_recorder, live.playing())

    return start


@pytest.fixture(scope="session")
def half_model(model_folder: Path) -> Path:
    """A model that gives half of everything to the voice."""
    return make_model(model_folder / "half.pt", "half")


@pytest.fixture
def open_room(start_server: Any, open_player_recorder: Any) -> Iterator[Callable[..., Room]]:
    """Opens a room: `open_room("mic", model=path)`."""
    from tests.e2e.room import PERIOD, RATE, Hand, Room

    with ExitStack() as stack:

        def open_one(input: Any = "mic", **arguments: Any) -> Room:
            server = start_server(rate=RATE, period=PERIOD)
            hand = Hand(server, input=input, out="both", **arguments)
            stack.callback(hand.close)
            return Room(server, open_player_recorder(server), hand)

        yield open_one


@pytest.fixture
def ones(model_folder: Path) -> Path:
    """A model that gives everything to the voice."""
    return make_model(model_folder / "ones.pt", "ones")


@pytest.fixture
def plug_in() -> Any:
    """Plugs controllers in: `plug_in(rig, "pad")`; all are out again before their server ends."""
    from tests.e2e.midi_peer import MidiPeer

    with ExitStack() as stack:

        def plug(rig: Any, name: str = "pad") -> MidiPeer:
            peer = MidiPeer(rig.server, rig.player_recorder, name)
            stack.callback(lambda: peer.client._ptr and peer.close())
            return peer

        yield plug


@pytest.fixture
def watch() -> Any:
    """Counts what the server brings to a port: `watch(rig, "rtsep-midi:rtsep")`."""
    from tests.e2e.midi_peer import Witness

    with ExitStack() as stack:

        def begin(rig: Any, port: str) -> Witness:
            witness = Witness(rig.server, rig.player_recorder, port)
            stack.callback(witness.close)
            return witness

        yield begin
