"""The socket itself: lines of JSON, garbage, readers that are slow or too many, the end."""

from __future__ import annotations

import functools
import json
import socket
import threading

import pytest

import rtsep
from rtsep.errors import SessionError
from rtsep.realtime.wire import encode
from rtsep.surfaces.remote import place
from rtsep.surfaces.remote.connection import MAX_WORKING
from rtsep.surfaces.remote.messages import MAX_LINE, VERSION, Lines
from rtsep.surfaces.remote.server import MAX_CONNECTIONS
from tests import waiting

until = functools.partial(waiting.until, patience_s=60.0)


class Peer:
    """A program without rtsep at the other end of the socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(path))
        self.file = self.sock.makefile("rb")

    def send(self, text):
        self.sock.sendall(text if isinstance(text, bytes) else (json.dumps(text) + "\n").encode())

    def line(self):
        return json.loads(self.file.readline())

    def answer(self, id=0):
        """Return the next message that is no state of its own accord."""
        while (line := self.line()).get("id", -1) != id or (id == 0 and line["kind"] == "state"):
            pass
        return line

    def close(self):
        self.file.close()
        self.sock.close()


@pytest.fixture
def peer(server):
    peer = Peer(server._claim.path)
    assert peer.line() == {
        "kind": "hello", "session": "tests", "program": f"rtsep {rtsep.__version__}", "version": VERSION
    }  # fmt: skip
    yield peer
    peer.close()


def test_a_line_of_json_is_all_it_takes(peer, session):
    peer.send(
        {"kind": "set", "id": 7, "controls": {"vocals_gain": "-6 dB", "mask": "binary", "bypass": True}}
    )
    assert peer.line() == {"kind": "done", "id": 7, "words": ""}
    assert (session.controls.vocals_gain, session.controls.mask, session.controls.bypass) == (-6, 1, 1)
    assert session.controls.moved_by("bypass") == "remote"
    peer.send({"kind": "get", "id": 8})
    state = peer.line()
    assert (state["kind"], state["id"], state["state"]) == ("state", 8, "playing")
    assert state["controls"]["vocals_gain"] == {"value": -6.0, "shown": "-6 dB", "by": "remote"}
    peer.send({"kind": "set", "controls": {"bypass": False, "mask": "soft"}})
    peer.answer()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\x00\xff\xfe\n", "not a message"),
        (b"[" * 50_000 + b"\n", "not a message"),
        (b'{"id": 3}\n', "not a message"),
        (b'{"kind": "explode", "id": 3}\n', "explode"),
        (b'{"kind": "get", "id": 3, "colour": 1}\n', "colour"),
        (b'{"kind": "get", "id": "3"}\n', "id"),
        (b'{"kind": "get", "id": 3, "version": 99}\n', f"version {VERSION}"),
        (b'{"kind": "set", "id": 3, "controls": {"threshold": NaN}}\n', "out of range"),
        (b'{"kind": "set", "id": 3, "controls": {"threshold": [1]}}\n', "threshold"),
        (b'{"kind": "set", "id": 3, "controls": {"slots": 1}}\n', "unknown control"),
        (b'{"kind": "set", "id": 3, "controls": {}, "by": "12345678901234567"}\n', "16"),
        (b'{"kind": "subscribe", "id": 3, "rate": 1e9}\n', "60"),
        (b'{"kind": "loadpreset", "id": 3, "name": "../../etc/passwd"}\n', "a name consists of letters"),
        (b'{"kind": "seek", "id": 3, "seconds": NaN, "relative": true}\n', "a number of seconds"),
        (b'{"kind": "seek", "id": 3, "seconds": 1e308}\n', "a number of seconds, at most 1000000"),
        (b'{"kind": "seek", "id": 3, "seconds": Infinity}\n', "a number of seconds"),
        (b'{"kind": "switchmodel", "id": 3, "name": "\\ud800"}\n', "model"),
        (b'{"kind": "record", "id": 3, "folder": "\\ud800"}\n', "not a name of a file or folder"),
        (b'{"kind": "record", "id": 3, "folder": "a\\u0000b"}\n', "not a name of a file or folder"),
    ],
    ids=range(19),
)
def test_what_is_no_request_is_refused_in_words(peer, session, line, why):
    before = session.controls.snapshot()
    peer.send(line)
    answer = peer.line()
    assert answer["kind"] == "refused"
    assert why in answer["why"] and "\n" not in answer["why"]
    assert answer["id"] in (0, 3)
    peer.send({"kind": "get", "id": 9})
    assert peer.line()["id"] == 9  # the connection goes on
    assert session.controls.snapshot() == before


@pytest.mark.parametrize("rate", [1e-320, 1e-300, 1e-9])
def test_a_rate_near_zero_ends_nothing(peer, server, rate):
    peer.send({"kind": "subscribe", "id": 3, "rate": rate})
    assert peer.answer(3)["kind"] == "done"
    for _ in range(2):  # the server waits for the next state in between
        with rtsep.attach(server.name) as remote:
            assert remote.state == "playing"


def test_a_line_without_an_end_is_cut_off(peer, server):
    with pytest.raises(OSError):
        for _ in range(100):
            peer.send(b"x" * MAX_LINE)
    assert "this connection is closed" in peer.line()["why"]
    with rtsep.attach(server.name) as remote:
        assert remote.state == "playing"


def test_a_reader_that_reads_nothing_holds_nobody_up_and_gets_the_newest(peer, server, session):
    peer.send({"kind": "subscribe", "rate": 60.0, "picture": True})
    peer.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:  # and asks for ever more
            peer.sock.send(b'{"kind": "get"}\n' * 100)
    peer.sock.settimeout(60)
    with rtsep.attach(server.name) as remote:
        for value in (0.1, 0.2, 0.3):
            remote.controls.gate = value
            assert remote.stats()["state"] == "playing"
    (connection,) = [c for c in server._connections if c.pictures]
    assert len(connection._unsent) < 1 << 20
    until(lambda: any(peer.line().get("controls", {}).get("gate", {}).get("value") == 0.3 for _ in range(50)))


def test_only_so_many_are_attached(server):
    def attached():
        peer = Peer(server._claim.path)
        peers.append(peer)
        return peer.line()

    peers = []
    try:
        lines = [attached() for _ in range(MAX_CONNECTIONS + 1)]
        assert [line["kind"] for line in lines].count("refused") >= 1
        assert "this session already has" in lines[-1]["why"]
    finally:
        for peer in peers:
            peer.close()
    until(lambda: len(server._connections) == 0)
    with rtsep.attach(server.name) as remote:
        assert remote.state == "playing"


def test_a_session_that_goes_in_the_middle_is_told_of(session):
    with rtsep.serve(session, "short"):
        remote = rtsep.attach("short")
    assert remote.is_over(60)
    with pytest.raises(SessionError, match="session 'short' has gone"):
        remote.wait()
    with pytest.raises(SessionError, match="has gone"):
        remote.stats()
    with pytest.raises(SessionError, match="has gone"):
        remote.controls.threshold = 0.5
    remote.close()
    assert "short" not in place.playing()


def test_the_end_of_a_session_is_told(half):
    with rtsep.Session("demo", out_device="virtual", model=half) as session, rtsep.serve(session, "ends"):
        with rtsep.attach("ends") as remote, rtsep.attach("ends") as other:
            other.end()
            assert remote.wait(60)
            assert remote.state == "ended"
            with pytest.raises(SessionError, match="has ended"):
                remote.start_recording("nowhere")
        assert session.wait(60)


def test_the_kind_of_lines_stays_as_clients_of_version_1_know_it():
    assert VERSION == 1
    assert json.loads(encode(Lines(["a line"]))) == {"kind": "said", "lines": ["a line"]}


def test_a_limit_of_threads_refuses_a_request_and_the_socket_serves_on(no_threads, peer, monkeypatch):
    for id in range(1, MAX_WORKING + 3):
        peer.send({"kind": "listmodels", "id": id})
        refused = peer.answer(id)
        assert refused["kind"] == "refused" and "raise the limit of processes" in refused["why"]
    monkeypatch.undo()
    peer.send({"kind": "listmodels", "id": 100})
    assert peer.answer(100)["kind"] == "choices"


def test_requests_for_pictures_are_limited_too(peer, server, monkeypatch):
    free = threading.Event()
    monkeypatch.setattr(server._handler, "pictures", lambda: free.wait(60) and None)
    for id in range(1, MAX_WORKING + 2):
        peer.send({"kind": "subscribe", "id": id, "rate": 0.0, "picture": True})
    refused = peer.answer(MAX_WORKING + 1)
    assert refused["kind"] == "refused" and "in progress" in refused["why"]
    free.set()
    assert peer.answer(1)["kind"] == "done"
