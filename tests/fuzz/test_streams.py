"""Input from outside while a session plays: MIDI bytes, and lines of attached programs."""

from __future__ import annotations

import json
import math
import socket

from hypothesis import given
from hypothesis import strategies as st

from rtsep.controls import BY_NAME, Controls
from rtsep.errors import RtsepError, UsageError
from rtsep.realtime.wire import WireError, encode
from rtsep.surfaces.midi import protocol
from rtsep.surfaces.midi.map import parse_map
from rtsep.surfaces.midi.messages import Decoder
from rtsep.surfaces.midi.turn import ActiveMap
from rtsep.surfaces.remote import link
from rtsep.surfaces.remote import messages as remote
from rtsep.surfaces.remote.connection import Connection
from rtsep.surfaces.remote.session import RemoteSession
from tests.fuzz.mutations import assert_a_line, changed_bytes, changed_values, in_order, many, promptly
from tests.fuzz.test_settings import MAPS

# --- MIDI ---------------------------------------------------------------------------------------------------

PLAYED = [
    bytes.fromhex(text)
    for text in (
        "b01540 b01541 902464 802400 c005",  # a controller, a note, a program change
        "b00701 b02702 b06302 b0622c b00601 b02609 b06000 b06100",  # pairs, and an NRPN
        "f07e0102f7 f8 fe e00040 d005 a02405 bf057f b00501",  # sysex, clock, what moves nothing
    )
]


def messages(stream: bytes) -> list[bytes]:
    """Return a stream cut where a driver cuts it: before each status byte."""
    starts = [place for place, byte in enumerate(stream) if byte >= 0x80]
    return [stream[a:b] for a, b in zip([0, *starts], [*starts, len(stream)], strict=True)]


@many
@given(
    streams=st.lists(changed_bytes(PLAYED, max_changes=12), min_size=1, max_size=4),
    text=st.sampled_from(MAPS),
)
def test_any_midi_moves_controls_within_their_ranges_or_nothing(tmp_path, streams, text):
    controls, programs = Controls(), []
    hands = ActiveMap(
        parse_map(text, tmp_path / "midi.toml"), controls, lambda *program: programs.append(program)
    )
    with promptly():
        for port, stream in enumerate(streams):
            decoder = Decoder()
            for message in messages(stream):
                hands.take(decoder.feed(message), port, "pad")
            hands.take(decoder.settle(), port, "pad")
            hands.let_go(port)
    for name, value in controls.snapshot().items():
        assert not math.isnan(value)
        assert BY_NAME[name].check(value) == value
    assert all(0 <= program <= 127 and 1 <= channel <= 16 for program, channel in programs)


COMMANDS = [
    encode(protocol.Send(0, [[0xB0, 7, 1]])),
    encode(protocol.Hold(["virtual", "pad"])),
    encode(protocol.Received(1, [[0x90, 36, 100], [0xF0, 0xF7]])),
    encode(protocol.Ports({"ALSA": ["a", "b"]})),
    encode(protocol.Opened(0, "pad", "JACK", [])),
]


@many
@given(line=st.one_of(changed_bytes([line.encode() for line in COMMANDS]), changed_values(COMMANDS, ": ")))
def test_lines_of_the_midi_process_are_messages_or_refused_by_a_line(line):
    for wire in (protocol.TASKS, protocol.COMMANDS, protocol.EVENTS):
        with promptly():
            try:
                wire.decode(line)
            except WireError as error:
                assert_a_line(str(error))


# --- those that attach --------------------------------------------------------------------------------------

REQUESTS = [
    encode(request)
    for request in (
        remote.Get(id=1), remote.Set(id=2, controls={"threshold": 0.4, "mask": "binary", "bypass": True}),
        remote.SwitchModel(id=3, name="live"), remote.SwitchDevice(id=4, input="mic", output="virtual"),
        remote.Record(id=5, folder="takes"), remote.StopRecording(id=6), remote.Pause(id=7, on=True),
        remote.Seek(id=8, seconds=1.5, relative=True), remote.Loop(id=9, start=1.0, end=2.0),
        remote.LoadPreset(id=10, name="chorus"), remote.ListModels(id=11),
        remote.Subscribe(id=12, rate=60.0, picture=True), remote.End(id=13),
    )
]  # fmt: skip


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)
    return ours, theirs


@many
@given(
    lines=st.lists(
        st.one_of(
            changed_bytes([line.encode() for line in REQUESTS]),
            changed_values(REQUESTS, ": ", ("NaN", "1e999")),
        ),
        min_size=1, max_size=6,
    ),
    size=st.sampled_from((1, 7, 1000)),
)  # fmt: skip
def test_any_lines_are_requests_or_refused_by_a_line(lines, size):
    ours, theirs = pair()
    sent = b"".join(line if isinstance(line, bytes) else line.encode() + b"\n" for line in lines)
    with theirs, promptly():
        connection = Connection(ours)
        requests = []
        for start in range(0, len(sent), size):
            theirs.sendall(sent[start : start + size])
            connection.receive()
            requests += list(connection.requests())
        connection.close()
        answers = b""
        while data := theirs.recv(1 << 16):
            answers += data
        for request in requests:
            assert isinstance(request, remote.Request)
        for line in answers.splitlines():
            answer = remote.ANSWERS.decode(line)
            assert isinstance(answer, remote.Refused) and answer.code == UsageError.exit_code
            assert_a_line(answer.why)


STATE = remote.State(
    session="stage", state="playing", title="mic -> out", ends="mic -> out", input="mic", output="out",
    model="live", controls={"threshold": remote.Value(0.4, "0.4", "MIDI")}, recordings=[{"mix": "a.wav"}],
    hop_budget_us=5800.0,
    stats={"latency_samples": 512, "rate": 48000, "recording": None, "file": None, "state": "playing"}, id=1,
)  # fmt: skip
ANSWERS = [
    encode(answer)
    for answer in (
        remote.Hello("stage", "rtsep 0.1.0"), STATE, remote.Done(2), remote.Refused(2, "no such preset", 2),
        remote.Refused(2, "gone", 8), remote.Lines(["a line"]), remote.Choices(2, [], ""),
        remote.Picture([0.0], [0.5], 3, [(1, 2)]),
    )
]  # fmt: skip


@many
@given(
    hello=st.one_of(st.just(ANSWERS[0]), changed_values(ANSWERS[:1], ": ")),
    state=st.one_of(st.just(ANSWERS[1]), changed_values(ANSWERS[1:2], ": ", ("NaN", "1e999", '"playing"'))),
    rest=changed_bytes([line.encode() for line in ANSWERS], max_changes=6),
)
def test_whoever_attaches_to_a_strange_session_gets_a_line(monkeypatch, hello, state, rest):
    ours, theirs = pair()
    monkeypatch.setattr(link, "_connected", lambda name: ours)
    theirs.sendall(hello.strip().encode() + b"\n" + state.strip().encode() + b"\n" + rest)
    theirs.shutdown(socket.SHUT_WR)
    said: list[str] = []
    with theirs, in_order(RtsepError), RemoteSession("stage", on_line=said.append) as session:
        for read in (session.read, session.stats, session.devices, lambda: session.wait(5)):
            with in_order(RtsepError):
                read()


def test_the_samples_are_what_is_spoken():
    for line in REQUESTS:
        assert remote.REQUESTS.decode(line)
    for line in ANSWERS:
        assert remote.ANSWERS.decode(line)
    assert json.loads(ANSWERS[1])["kind"] == "state"
