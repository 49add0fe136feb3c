"""Refused clients; hostile clients cannot affect the session and other pages."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from rtsep.surfaces.page.access import ASK_WITHIN_S, MAX_PER_PEER, ConnectionLimiter
from rtsep.surfaces.page.address import is_ours
from rtsep.surfaces.page.client import BURST
from rtsep.surfaces.page.messages import MAX_MESSAGE
from rtsep.surfaces.server_process import is_near
from tests.surfaces.page.conftest import KEYS, MAX_UPLOAD
from tests.surfaces.page.pages import Browser, handshake, request
from tests.waiting import until


@pytest.mark.parametrize(
    "key",
    ["", "x", KEYS.turning[:-1], KEYS.turning.swapcase(), "%FF%00", "A" * 4000],
    ids=["none", "x", "short", "other case", "no text", "long"],  # each process draws its own keys
)
def test_a_wrong_key_opens_nothing(key, port):
    with pytest.raises(InvalidStatus) as refused:
        Browser(port, key)
    assert refused.value.response.status_code == 403
    assert request(port, "GET", f"/hello?key={key}")[0] == 403
    assert request(port, "POST", f"/upload?name=a.wav&key={key}", body=b"RIFF")[0] == 403
    assert request(port, "POST", "/key", key)[0] == 403


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", None),
        ("null", None),
        ("https://127.0.0.1:{port}", None),
        ("http://127.0.0.1:{other}", None),
        ("http://evil.example:{port}", "evil.example:{port}"),  # a name that was pointed here
        ("", None),
    ],
)
def test_a_page_of_somebody_else_opens_nothing(origin, host, port):
    places = {"port": port, "other": port + 1}
    host = host and host.format(**places)
    origin = origin.format(**places)
    assert handshake(port, KEYS.turning, origin or None, host) == 403
    more = {"Host": host} if host else {}
    posted = request(port, "POST", "/upload?name=a.wav", KEYS.turning, b"RIFF", Origin=origin or None, **more)
    assert posted[0] == 403


def test_who_may_come():
    names = frozenset({"localhost", "laptop.local"})
    for host in ("127.0.0.1:80", "192.168.1.7:80", "localhost:80", "Laptop.local:80"):
        assert is_ours(host, 80, names)
    for host in (
        "",
        "127.0.0.1",
        "127.0.0.1:81",
        "evil.example:80",
        "192.168.1.7.evil.example:80",
        "[::1]:80",
    ):
        assert not is_ours(host, 80, names)
    assert all(map(is_near, ("127.0.0.1", "192.168.1.7", "10.0.0.1", "172.16.3.4", "169.254.1.1", "fe80::1")))
    assert not any(map(is_near, ("8.8.8.8", "", "testclient", "2001:4860::8888")))


def test_messages_that_are_none_are_refused_and_the_page_goes_on(browser):
    for line in (
        "", "{", "[" * 50_000, "null", '{"id": 3}', '{"kind": "explode"}', '{"kind": "get", "colour": 1}',
        '{"kind": "seek", "seconds": NaN}', '{"kind": "set", "controls": {"bypass": 7}}',
        '{"kind": "set", "controls": {"volume": 1}}',
    ):  # fmt: skip
        browser.send(line)
        assert browser.of_kind("refused")["why"]
    assert browser.ask("get")["kind"] == "state"
    for _ in range(10):
        browser.send('{"kind": "seen"}')  # it has seen what was never sent: no more come for that
    assert browser.ask("get")["kind"] == "state"


LOST = None
"""Status code after the system has cut a connection whose sender continues."""


def test_a_message_that_unfolds_to_too_much_ends_that_page_only(browser, port):
    with connect(
        f"ws://127.0.0.1:{port}/session?key={KEYS.turning}",
        origin=f"http://127.0.0.1:{port}",
        compression="deflate",
    ) as bomb:
        bomb.send("x" * (64 * MAX_MESSAGE))  # some kilobytes on the way
        with pytest.raises(ConnectionClosed):
            while True:
                bomb.recv(60)
    assert browser.ask("get")["kind"] == "state"


@pytest.mark.parametrize(
    "path",
    ["/..%2fserver.py", "/%2e%2e/server.py", "/..%5cserver.py", "//etc/passwd", "/main.js%00.html", "/.%2e/"],
)
def test_only_the_files_of_the_page_are_served(path, port):
    assert request(port, "GET", path, KEYS.turning)[0] in (400, 404)


def test_the_audience_can_neither_send_a_file_nor_have_the_code(port):
    assert request(port, "POST", "/upload?name=a.wav", KEYS.reading, b"RIFF")[0] == 403
    assert request(port, "GET", "/qr.svg", KEYS.reading)[0] == 403


def test_guesses_of_a_key_keep_nobody_out(browser, port):
    for number in range(60):
        assert request(port, "GET", "/hello", f"{number:022}")[0] == 403
    assert browser.ask("get")["kind"] == "state"


def test_a_message_that_is_too_long_and_a_flood_end_that_page_only(browser, port):
    with Browser(port, KEYS.turning) as long:
        long.send(json.dumps({"kind": "loadpreset", "name": "x" * MAX_MESSAGE}))
        assert long.closed() in (1009, LOST)
    with Browser(port, KEYS.turning) as binary:
        binary.send(b"\x00\xff")
        binary.closed()
    with Browser(port, KEYS.turning) as flood:
        try:
            for _ in range(3 * int(BURST)):
                flood.send('{"kind": "get"}')
        except ConnectionClosed:
            pass
        assert flood.closed() in (1008, LOST)
    assert browser.ask("get")["kind"] == "state"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 20_000,
        b"A" * 100_000,
        b"POST /upload HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /session HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
    ids=["tls", "headers", "letters", "length", "upgrade"],
)
def test_what_is_no_request_ends_that_connection_only(sent, port, browser):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        try:
            sock.sendall(sent)
            while sock.recv(1 << 16):
                pass
        except OSError:
            pass  # cut while it was sending
    assert browser.ask("get")["kind"] == "state"


def test_who_asks_nothing_is_cut_and_one_peer_has_so_many():
    cut = []

    def protocol(peer, **more):
        transport = SimpleNamespace(get_extra_info=lambda _: (peer, 1), abort=lambda: cut.append(each))
        each = SimpleNamespace(transport=transport, **more)
        return each

    silent = protocol("10.0.0.1")
    page = protocol("10.0.0.1", handshake_complete=True)
    loading = protocol("10.0.0.2", cycle=SimpleNamespace(response_complete=False))
    here = {Hashed(each) for each in (silent, page, loading)}
    limiter = ConnectionLimiter(here)
    limiter.look(0.0)
    limiter.look(ASK_WITHIN_S / 2)
    assert cut == []
    limiter.look(ASK_WITHIN_S + 0.1)
    assert cut == [silent]
    here.clear()
    here.update(Hashed(protocol("10.0.0.3", handshake_complete=True)) for _ in range(MAX_PER_PEER + 3))
    cut.clear()
    limiter.look(20.0)
    assert len(cut) == 3


class Hashed:
    """A namespace that can lie in a set."""

    def __init__(self, each):
        self._each = each

    def __getattr__(self, name):
        return getattr(self._each, name)


@pytest.fixture(scope="module")
def files(port):
    yield lambda name, body, **headers: request(
        port, "POST", f"/upload?name={name}", KEYS.turning, body, **headers
    )


def test_a_dropped_file_is_kept_as_it_is_and_can_be_chosen(files, browser, session):
    status, _, body = files("..%2F..%2Fetc%2Fa%20song.wav", b"RIFF" * 100)
    path = json.loads(body)["input"]
    assert (status, path.endswith("/a song.wav"), ".." in path) == (200, True, False)
    assert Path(path).read_bytes() == b"RIFF" * 100
    refused = browser.ask("switchdevice", input=path)
    assert refused["kind"] == "refused"
    assert "lists" not in refused["why"]  # it was tried: it is no sound
    assert session.place.length == 600


def test_uploads_are_bounded(files, port, browser):
    def why(answer):
        assert answer[0] == 400
        return json.loads(answer[2])["why"]

    assert "1 byte to 1 MiB" in why(files("a.wav", b"", Content_Length="0"))
    assert "1 byte to 1 MiB" in why(files("a.wav", None, Content_Length=str(MAX_UPLOAD + 1)))
    assert "1 byte to 1 MiB" in why(files("a.wav", iter([b"x" * 10]), Transfer_Encoding="chunked"))
    half = socket.create_connection(("127.0.0.1", port), timeout=60)
    head = (
        f"POST /upload?name=b.wav HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
    )
    half.sendall(f"{head}Authorization: Bearer {KEYS.turning}\r\nContent-Length: 9\r\n\r\n1234".encode())
    until(lambda: "on its way" in json.loads(files("c.wav", b"RIFF")[2]).get("why", ""))
    half.close()
    until(lambda: files("c.wav", b"RIFF")[0] == 200)
    assert browser.ask("get")["kind"] == "state"


def test_many_that_ask_nothing_keep_nobody_out(port):
    many = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(2 * MAX_PER_PEER)]
    began = time.monotonic()
    try:
        until(lambda: _answers(port), "a page should be served soon", patience_s=ASK_WITHIN_S + 30)
    finally:
        for sock in many:
            sock.close()
    assert time.monotonic() - began < ASK_WITHIN_S + 30


def _answers(port):
    try:
        return request(port, "GET", "/")[0] == 200
    except OSError:
        return False
