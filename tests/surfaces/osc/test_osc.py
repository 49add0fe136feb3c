"""OSC: a tablet controls the session and receives its state; strangers receive nothing."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import random
import re
import socket
import struct
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from rtsep.cli.live_osc import osc_of, receiving_osc
from rtsep.controls import TABLE, Travel
from rtsep.errors import OutputError, UsageError
from rtsep.surfaces.osc import surface as surface_module
from rtsep.surfaces.osc.address import Where, bind, parse_where
from rtsep.surfaces.osc.launch import osc
from rtsep.surfaces.osc.layout import text
from rtsep.surfaces.osc.packets import elements, message_of
from rtsep.surfaces.osc.surface import (
    BURST,
    HOLD_S,
    MAX_PACKET,
    MAX_PEERS,
    MAX_PEERS_PER_HOST,
    MAX_PER_S,
    Peer,
    Surface,
)
from rtsep.surfaces.osc.words import messages_of, request_of
from rtsep.surfaces.remote.messages import Loop, Pause, Record, Seek, Set, StopRecording, Stretch
from tests.fuzz.mutations import promptly
from tests.surfaces.remote.conftest import half, server, session  # noqa: F401 - fixtures
from tests.waiting import until

PATIENCE_S = 30.0


def message(address, *arguments):
    builder = OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument)
    return builder.build().dgram


class Tablet:
    """Sends and receives."""

    def __init__(self, port):
        self.to = ("127.0.0.1", port)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(PATIENCE_S)

    def send(self, address, *arguments):
        self.sock.sendto(message(address, *arguments), self.to)

    def until(self, address, wanted):
        """Return the value of `address` that is `wanted`."""
        while True:
            got = OscMessage(self.sock.recv(MAX_PACKET))
            if got.address == address and wanted(got.params[0]):
                return got.params[0]

    def told_nothing(self):
        self.sock.settimeout(0.3)  # six times as long as an answer takes
        with pytest.raises(TimeoutError):
            self.sock.recv(MAX_PACKET)


@pytest.fixture(scope="module")
def surface(server):  # noqa: F811
    sock = bind(Where("127.0.0.1", 0))
    surface = Surface(server.name, sock)
    surface.port = sock.getsockname()[1]
    thread = threading.Thread(target=surface.run, daemon=True)
    thread.start()
    yield surface
    surface.stop()
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def tablet(surface):
    surface.peers.clear()
    tablet = Tablet(surface.port)
    yield tablet
    tablet.sock.close()


def test_a_tablet_turns_every_control_and_is_told(tablet, session):  # noqa: F811
    tablet.send("/rtsep/sync")
    for control in TABLE:
        tablet.until(f"/rtsep/{control.name}", lambda value, default=control.default: value == default)
    travel = Travel.whole(next(control for control in TABLE if control.name == "vocals_gain"))
    tablet.send("/rtsep/position/vocals_gain", 0.5)
    value = tablet.until("/rtsep/vocals_gain", lambda value: value != 0)
    assert value == pytest.approx(travel.value(0.5), abs=1e-5)
    assert session.controls.moved_by("vocals_gain") == "OSC"
    tablet.send("/rtsep/vocals_gain", "-6dB")
    tablet.send("/rtsep/mask", "binary")
    tablet.send("/rtsep/bypass", True)
    tablet.send("/rtsep/balance", 0.25)
    tablet.until("/rtsep/position/balance", lambda value: value == 0.25)
    controls = session.controls
    assert (controls.vocals_gain, controls.mask, controls.bypass, controls.balance) == (-6, 1, 1, 0.25)
    for control in TABLE:
        tablet.send(f"/rtsep/{control.name}", float(control.default))
    until(lambda: controls.snapshot() == {control.name: control.default for control in TABLE})


def test_a_played_file_and_what_others_turn(tablet, session):  # noqa: F811
    tablet.send("/rtsep/pause", 1)
    tablet.send("/rtsep/seek", 50.0)
    tablet.until("/rtsep/file/position", lambda value: value == 50)
    tablet.send("/rtsep/loop", 50.0, 60.0)
    until(lambda: session.place.loop == (50, 60))
    tablet.send("/rtsep/loop")
    until(lambda: session.place.loop is None)
    tablet.send("/rtsep/speed", 0.75)
    tablet.send("/rtsep/key", -2)
    until(lambda: session.place[-2:] == (0.75, -2))
    tablet.send("/rtsep/speed", 1)
    tablet.send("/rtsep/key", 0)
    until(lambda: session.place[-2:] == (1, 0))
    tablet.send("/rtsep/pause", 0)
    tablet.until("/rtsep/pause", lambda value: value == 0)
    session.controls.set("gate", 0.5, "MIDI")
    tablet.until("/rtsep/gate", lambda value: value == 0.5)
    session.controls.gate = 0


def test_feedback_goes_where_it_is_wanted(tablet, surface, session):  # noqa: F811
    other = Tablet(surface.port)
    tablet.send("/rtsep/feedback", other.sock.getsockname()[1])
    other.until("/rtsep/blend", lambda value: value == 1)
    other.sock.close()


def test_a_tablet_that_woke_up_is_one_peer_and_gets_each_value_once(surface):
    surface.peers.clear()
    for port in range(6000, 6000 + 2 * MAX_PEERS_PER_HOST):  # each wake-up has another port
        surface._take(OscMessage(message("/rtsep/feedback", 9001)), ("192.0.2.1", port))
        assert list(surface.peers) == [("192.0.2.1", port)]
    surface._take(OscMessage(message("/rtsep/feedback", 9001)), ("192.0.2.2", 6000))  # another tablet
    surface._take(OscMessage(message("/rtsep/feedback", 9002)), ("192.0.2.1", 6000))  # another program
    assert [peer.address for peer in surface.peers.values()] == [
        ("192.0.2.1", 9001),
        ("192.0.2.2", 9001),
        ("192.0.2.1", 9002),
    ]
    surface.peers.clear()


@pytest.mark.parametrize(
    ("address", "value"),
    [(f"/rtsep/position/{control.name}", 0.8) for control in TABLE if not control.choices]
    + [("/rtsep/vocals_gain", -6.1), ("/rtsep/position/vocals_gain", 0.123449), ("/rtsep/speed", 0.8)],
)
def test_a_senders_own_move_is_not_sent_back_and_another_one_is(address, value):
    request = request_of(address, [as_float32(value)])
    peer = Peer(("192.0.2.1", 9001), seen=0.0)
    peer.take_own(address, as_float32(value), now=10.0)
    feedback = feedback_after(request)[address]
    switch = address.startswith("/rtsep/position/") and feedback == 1.0
    assert not peer.lacks(address, 0.5, 10.0 + 0.9 * HOLD_S)  # an older value, while the finger drags
    assert peer.lacks(address, feedback, 10.0 + 2 * HOLD_S) == switch  # a switch has no position 0.8
    assert peer.lacks(address, feedback - 0.01, 10.0 + 2 * HOLD_S)
    peer.forget()
    assert peer.lacks(address, feedback, 10.0)


def as_float32(value):
    return struct.unpack(">f", struct.pack(">f", value))[0]


def feedback_after(request):
    """Return the messages of a session that plays a file and has carried out `request`."""
    if isinstance(request, Stretch):
        return {"/rtsep/speed": request.speed}
    ((name, value),) = request.controls.items()
    levels = {feed: {"peak": 0.0} for feed in ("dry", "vocals", "instrumental")}
    stats = {
        "levels": levels, "latency_ms": {"total": 1}, "late_masks": 0, "underruns": 0, "recording": None,
        "file": None,
    }  # fmt: skip
    controls = {name: SimpleNamespace(value=value)}
    return messages_of(SimpleNamespace(controls=controls, stats=stats, model="live"))


def test_a_fader_is_not_moved_by_its_own_session(tablet, surface, session, monkeypatch):  # noqa: F811
    monkeypatch.setattr(surface_module, "HOLD_S", 600.0)  # a busy machine may pause within the drag
    got = []

    def read_until(gate):
        while not got or (got[-1].address, got[-1].params) != ("/rtsep/gate", [gate]):
            got.append(OscMessage(tablet.sock.recv(MAX_PACKET)))

    tablet.send("/rtsep/sync")
    tablet.until("/rtsep/position/vocals_gain", lambda _: True)
    for step in range(20):
        tablet.send("/rtsep/position/vocals_gain", 0.3 + step / 50)
    travel = Travel.whole(next(control for control in TABLE if control.name == "vocals_gain"))
    end = travel.value(0.3 + 19 / 50)
    until(lambda: abs(session.controls.vocals_gain - end) < 0.01)
    session.controls.set("gate", 0.5, "MIDI")
    read_until(0.5)
    for peer in surface.peers.values():
        peer.held_until.clear()
    session.controls.gate = 0
    read_until(0.0)
    addresses = [message.address for message in got]
    assert "/rtsep/position/vocals_gain" not in addresses
    assert "/rtsep/vocals_gain" in addresses
    session.controls.vocals_gain = 0
    tablet.until("/rtsep/position/vocals_gain", lambda _: True)  # somebody else's move


def test_who_sends_nonsense_is_told_nothing(tablet, surface):
    stranger = Tablet(surface.port)
    packets = (
        b"",
        b"/",
        random.Random(1).randbytes(100),
        b"#bundle\0" + b"\xff" * 40,
        b"x" * (2 * MAX_PACKET),
    )
    for packet in packets:
        stranger.sock.sendto(packet, stranger.to)
    stranger.send("/other/balance", 1.0)
    for address, *arguments in (
        ("/rtsep/",), ("/rtsep/volume", 1.0), ("/rtsep/balance",), ("/rtsep/balance", 1.0, 2.0),
        ("/rtsep/balance", float("nan")), ("/rtsep/position/volume", 1.0), ("/rtsep/feedback", 53),
        ("/rtsep/feedback", "x"), ("/rtsep/model", "/tmp/strange.pt"), ("/rtsep/end",), ("/rtsep/loop", 1.0),
        ("/rtsep/balance/x", 1.0), ("/rtsep/seek", "soon"), ("/rtsep/preset", 3),
    ):  # fmt: skip
        stranger.send(address, *arguments)
    tablet.send("/rtsep/sync")
    tablet.until("/rtsep/balance", lambda _: True)
    assert len(surface.peers) == 1
    stranger.told_nothing()
    stranger.sock.close()


def bundle(*elements):
    sized = b"".join(len(element).to_bytes(4, "big") + element for element in elements)
    return b"#bundle\0" + bytes(7) + b"\1" + sized


def osc_string(text):
    return text.encode() + bytes(4 - len(text) % 4)


def nested(depth):
    packet = SYNC
    for _ in range(depth):
        packet = bundle(packet)
    return packet


SYNC = OscMessageBuilder("/rtsep/sync").build().dgram
EMPTY = bundle()
GATE = osc_string("/rtsep/gate")
HOSTILE = {
    "size -4": EMPTY + struct.pack(">i", -4),  # back to its own size, for ever
    "size -20": EMPTY + struct.pack(">i", -20),
    "size 0": EMPTY + bytes(4000),
    "size not of 4": EMPTY + struct.pack(">i", 13) + SYNC + b"\0",
    "size beyond the end": bundle(SYNC) + struct.pack(">i", 2**31 - 1) + SYNC,
    "cut in a size": bundle(SYNC) + b"\0\0",
    "cut in the time tag": b"#bundle\0" + bytes(4),
    "size -4, nested": bundle(bundle(EMPTY + struct.pack(">i", -4))),
    "nested 200": nested(200),
    "blobs back over a string": GATE
    + osc_string("," + "sb" * 600)
    + (b"x" * 1591 + b"\0" + struct.pack(">i", -1600)),
    "blob of -4": GATE + osc_string(",b") + struct.pack(">i", -4),
    "arrays": GATE + osc_string("," + "[" * 4000),
    "arrays, closed": GATE + osc_string("," + "[" * 1900 + "]" * 1900),
    "4000 numbers": GATE + osc_string("," + "f" * 4000),
    "string without end": GATE + osc_string(",s") + b"x" * 4000,
    "tags without end": GATE + b"," + b"i" * 4000,
    "address without end": b"/rtsep/" + b"x" * 4000,
    "no UTF-8": GATE + osc_string(",s") + b"\xff\xff\xff\0",
}


@pytest.mark.parametrize("packet", HOSTILE.values(), ids=HOSTILE)
def test_no_packet_holds_the_server_up(packet, monkeypatch):
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)  # as in the process
    packets = [packet, bundle(SYNC)]
    sender = ("127.0.0.1", 9000)
    sock = SimpleNamespace(setblocking=lambda _: None, recvfrom=lambda _: (packets.pop(0), sender))
    surface = Surface("nobody", sock)
    assert len(packet) <= MAX_PACKET
    with promptly():
        began = time.thread_time()
        surface._receive()
        assert time.thread_time() - began < 0.1
    assert not surface.peers and surface._requests.empty()
    surface._receive()
    assert list(surface.peers) == [sender]


def test_messages_of_a_bundle_are_taken_in_order_beside_those_of_others():
    other = osc_string("/mixer/scene") + osc_string(",b[ff]") + struct.pack(">i", -4)
    packet = bundle(other, nested(2), GATE + osc_string(",f") + struct.pack(">f", 0.5), other)
    taken = [message.address for element in elements(packet) if (message := message_of(element))]
    assert taken == ["/rtsep/sync", "/rtsep/gate"]


def test_so_many_are_told_and_no_more(tablet, surface):
    with contextlib.ExitStack() as stack:
        crowd = [Tablet(surface.port) for _ in range(MAX_PEERS_PER_HOST + 2)]
        for each in crowd:
            stack.callback(each.sock.close)
            each.send("/rtsep/sync")
        until(lambda: len(surface.peers) == MAX_PEERS_PER_HOST)
        crowd[-1].told_nothing()
        for number in range(2, 2 * MAX_PEERS):  # of other machines
            surface._known((f"192.0.2.{number}", 9), None)
        assert len(surface.peers) == MAX_PEERS
        surface.peers.clear()


def test_senders_outside_this_network_are_ignored():
    request = OscMessageBuilder("/rtsep/sync").build().dgram
    sender = ("8.8.8.8", 9000)
    sock = SimpleNamespace(setblocking=lambda _: None, recvfrom=lambda _: (request, sender))
    surface = Surface("nobody", sock)
    surface._receive()
    assert surface.peers == {}  # a forged sender would be sent a stream of feedback
    sender = ("192.168.1.7", 9000)
    surface._receive()
    assert list(surface.peers) == [sender]


def test_a_flood_takes_its_share_and_the_tablet_is_told_on(tablet, surface, session):  # noqa: F811
    tablet.send("/rtsep/sync")
    tablet.until("/rtsep/balance", lambda _: True)
    flood = Tablet(surface.port)
    packet = message("/rtsep/gate", 0.0)
    bundle = b"#bundle\0" + bytes(7) + b"\1" + 100 * (len(packet).to_bytes(4, "big") + packet)
    taken = []
    take, surface._take = surface._take, lambda *message: taken.append(1) or take(*message)
    began = time.monotonic()
    try:
        while time.monotonic() < began + 1.0:
            flood.sock.sendto(bundle, flood.to)
        session.controls.set("blend", 0.5, "key")
        tablet.until("/rtsep/blend", lambda value: value == 0.5)
        seconds = time.monotonic() - began
    finally:
        del surface._take
        session.controls.blend = 1
        flood.sock.close()
    assert len(taken) <= BURST + MAX_PER_S * seconds + 100
    until(lambda: surface._may_take_more(time.monotonic()))


def test_what_messages_mean():
    assert request_of("/rtsep/balance", [1]) == Set(controls={"balance": 1.0}, by="OSC")
    assert request_of("/rtsep/pause", [0]) == Pause(on=False)
    assert request_of("/rtsep/skip", [-5]) == Seek(seconds=-5, relative=True)
    assert request_of("/rtsep/loop", []) == Loop(on=False)
    assert request_of("/rtsep/record", [1.0]) == Record()
    assert request_of("/rtsep/record", [0]) == StopRecording()


def test_the_layout_of_the_docs_is_that_of_the_table():
    path = Path(__file__).resolve().parents[3] / "docs" / "osc" / "rtsep.json"
    assert path.read_text() == text(), "paste in what 'python -m rtsep.surfaces.osc.layout' prints"
    addresses = re.findall(r'"address": "([^"]+)"', text())
    for address in addresses:
        assert address == "/rtsep/sync" or request_of(address, [1])
    assert len(addresses) == len(set(addresses)) + 1  # skip, there and back
    for control in TABLE:
        assert {f"/rtsep/{control.name}", f"/rtsep/position/{control.name}"} & set(addresses)


COMMON = {"type", "id", "expand", "height", "colorWidget", "default", "address", "decimals"}
PROPERTIES = {
    "root": {"type", "id", "layout", "widgets", "tabs"},
    "panel": COMMON | {"layout", "widgets", "tabs"},
    "text": COMMON | {"wrap"},
    "fader": COMMON | {"range", "steps", "doubleTap"},
    "button": COMMON | {"label", "mode", "on", "off"},
}
"""Properties of the widgets of Open Stage Control 1.27, as far as the layout uses them."""


def test_the_layout_has_the_form_of_open_stage_control():
    stored = json.loads(text())
    assert (stored["type"], stored["content"]["type"]) == ("session", "root")
    ids, faders, names = [], 0, []

    def look(widget):
        nonlocal faders
        assert set(widget) <= PROPERTIES[widget["type"]], widget
        ids.append(widget["id"])
        assert not (widget.get("widgets") and widget.get("tabs"))  # a panel has one of them
        assert widget.get("layout", "vertical") in ("vertical", "horizontal")
        if widget["type"] == "fader":
            faders += 1
            assert widget["range"]["min"] <= widget["default"] <= widget["range"]["max"]
        if widget["type"] == "text":
            names.append(widget["default"])
        if widget["type"] == "button":
            assert widget["mode"] in ("toggle", "tap") and widget["on"] != widget["off"]
        for child in widget.get("widgets", ()):
            look(child)

    look(stored["content"])
    assert len(ids) == len(set(ids))  # widgets of one id would be one widget
    assert len(names) == faders and {"balance", "vocals gain", "speed", "key"} <= set(names)


def test_where_osc_is_received():
    assert parse_where("9000") == Where("127.0.0.1", 9000)
    assert parse_where("0.0.0.0:9000") == Where("0.0.0.0", 9000)
    for wrong in ("", "x", ":9000", "80", "9000:", "65536", "٣٣٣٣"):
        with pytest.raises(UsageError, match=r"^--osc '"):
            parse_where(wrong)
    assert osc_of(argparse.Namespace(osc=None, remote=True)) is None
    with pytest.raises(UsageError, match="leave --no-remote out"):
        osc_of(argparse.Namespace(osc="9000", remote=False))


def test_the_process_serves_and_ends_with_its_session():
    with bind(Where("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told = []
    with receiving_osc(Where("127.0.0.1", port), SimpleNamespace(name="nobody"), told.append):
        assert told == [f"OSC: receiving on 127.0.0.1:{port}"]
        with pytest.raises(OSError, match="in use"):
            bind(Where("127.0.0.1", port))
    bind(Where("127.0.0.1", port)).close()
    with receiving_osc(None, None, told.append), receiving_osc(Where("127.0.0.1", port), None, told.append):
        assert told[1:] == ["no OSC: the session cannot be reached (see above)"]


def test_a_port_that_is_taken_is_one_line():
    with bind(Where("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OutputError, match=rf"^no OSC: 127\.0\.0\.1:{port} cannot be had"):
            osc("nobody", Where("127.0.0.1", port), print).start()


def test_without_a_thread_the_audio_continues_without_osc(no_threads):
    told: list[str] = []
    with receiving_osc(Where("127.0.0.1", 9), SimpleNamespace(name="nobody"), told.append):
        pass
    (line,) = told
    assert line.startswith("no OSC: ") and "raise the limit of processes" in line
