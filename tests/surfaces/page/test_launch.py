"""The server as a process: its start and its end, its keys, its addresses."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
from types import SimpleNamespace

import pytest

from rtsep.cli import live
from rtsep.cli.live import check_options
from rtsep.cli.live_page import _announce, open_page, page_of, show_code
from rtsep.cli.main import build_parser
from rtsep.errors import OutputError, UsageError
from rtsep.surfaces.page import address as address_module
from rtsep.surfaces.page import launch as launch_module
from rtsep.surfaces.page import server as server_module
from rtsep.surfaces.page.address import LAN, PORT, Where, lan_address, listen, parse_where
from rtsep.surfaces.page.codes import lines_of, picture_of
from rtsep.surfaces.page.keys import Keys, load_keys
from rtsep.surfaces.page.launch import Page
from tests import waiting
from tests.surfaces.page.conftest import KEYS, served
from tests.surfaces.page.pages import request


def test_where_a_page_is_served():
    assert parse_where("local") == parse_where("") == Where(False, None)
    assert parse_where("lan:9000") == Where(True, 9000)
    assert parse_where(":9000") == Where(False, 9000)
    for text in ("everywhere", "lan:", "lan:80", "lan:65536", "0.0.0.0", "lan:9000x", "LAN"):
        with pytest.raises(UsageError, match=r"^--page '"):
            parse_where(text)
    assert (Where(False, None).host, Where(True, None).host) == ("127.0.0.1", "0.0.0.0")


def test_a_page_needs_the_socket():
    assert page_of(argparse.Namespace(page=None, remote=False)) is None
    assert page_of(argparse.Namespace(page=LAN, remote=True)) == Where(True, None)
    with pytest.raises(UsageError, match="leave --no-remote out"):
        page_of(argparse.Namespace(page=LAN, remote=False))


def test_a_session_that_cannot_be_reached_has_no_page_and_plays():
    told = []
    assert open_page(None, None, told.append, fresh=False) is None
    assert open_page(Where(False, None), None, told.append, fresh=False) is None
    assert told == ["no page: the session cannot be reached (see above)"]


@pytest.mark.parametrize("where", ["local", "lan:9000"])
def test_app_is_live_with_nothing_chosen(where, monkeypatch):
    run = []
    monkeypatch.setattr(live, "run", lambda arguments: run.append(arguments) or 0)
    arguments = build_parser("app").parse_args(["app", where, "--session", "stage"])
    assert arguments.run(arguments) == 0
    (of_live,) = run
    assert (of_live.fresh, of_live.page, of_live.session) == (True, where, "stage")
    check_options(of_live.command_line)


def test_the_address_is_a_code_for_a_phone():
    address = "http://192.168.100.200:8537/#" + "x" * 22
    assert b"<svg" in picture_of(address)
    lines = lines_of(address).splitlines()
    assert {len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines} == {2 * len(lines) - 1}


@pytest.mark.parametrize("somewhere", [("127.0.0.1", 9), ("255.255.255.255", 9)], ids=["loopback", "refused"])
def test_without_a_network_there_is_no_address(somewhere, monkeypatch):
    monkeypatch.setattr(address_module, "_SOMEWHERE", somewhere)
    assert lan_address() == ""


def test_the_address_for_a_phone_is_searched_each_time_that_it_is_asked_for(monkeypatch):
    found = [""]
    monkeypatch.setattr(server_module, "lan_address", lambda: found[0])
    with served("nobody", lan=True) as port:

        def asked(path, key=KEYS.turning):
            status, _, body = request(port, "GET", path, key)
            return status, body

        assert asked("/phone") == (200, b'{"address":""}')
        assert asked("/qr.svg")[0] == 404
        for found[0] in ("192.168.1.7", "10.0.0.7"):  # the network comes, and changes
            address = f"http://{found[0]}:{port}/#{KEYS.turning}"
            assert json.loads(asked("/phone")[1]) == {"address": address}
            assert asked("/qr.svg") == (200, picture_of(address))
        assert asked("/phone", KEYS.reading)[0] == asked("/qr.svg", KEYS.reading)[0] == 403
    with served("nobody") as port:
        assert request(port, "GET", "/phone", KEYS.turning)[0] == 403


@pytest.mark.parametrize("found", ["", "192.168.1.7"])
def test_the_start_without_a_network_says_so_and_shows_no_code(found, monkeypatch, capsys):
    monkeypatch.setattr(launch_module, "lan_address", lambda: found)
    monkeypatch.setattr("rtsep.cli.live_page.can_browse", lambda: False)
    monkeypatch.setattr("sys.__stderr__", SimpleNamespace(isatty=lambda: True))
    page = Page("nobody", Where(True, PORT), KEYS, print, fresh=False)
    monkeypatch.setattr(page.server, "start", lambda: PORT)
    addresses, told = page.start(), []
    _announce(addresses, told.append)
    show_code(addresses, None, waits=False)
    phones = [line for line in told if line.startswith("page for a phone")]
    assert len(phones) == 1
    assert all("127.0.0.1" not in line for line in told[1:])
    if found:
        assert phones[0].endswith(f"http://{found}:{PORT}/#{KEYS.turning}")
        assert len(told) == 3
    else:
        assert "in no network now" in phones[0]
        assert f"http://ADDRESS:{PORT}/#{KEYS.turning}" in phones[0]
    assert bool(capsys.readouterr().err) == bool(found)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no FIFOs")
def test_a_fifo_in_the_place_of_the_keys_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "page.keys", 0o600)
    with pytest.raises(OutputError, match="not a file; delete it"):
        load_keys(tmp_path / "page.keys")


def test_the_next_port_is_taken_but_not_in_place_of_one_that_was_asked_for():
    with listen(Where(False, None)) as first, listen(Where(False, None)) as second:
        ports = [first.getsockname()[1], second.getsockname()[1]]
        assert PORT <= ports[0] < ports[1]
        with pytest.raises(OSError, match="in use"):
            listen(Where(False, ports[0]))


def test_keys_stay_and_are_for_their_user_alone(tmp_path):
    path = tmp_path / "state" / "page.keys"
    keys = load_keys(path)
    assert path.stat().st_mode & 0o777 == 0o600
    again = load_keys(path)
    assert (again.turning, again.reading) == (keys.turning, keys.reading)
    assert keys.allows(keys.turning) is True
    assert keys.allows(keys.reading) is False
    assert keys.allows("") is keys.allows(keys.turning[:-1]) is keys.allows("ö\udcff") is None
    path.write_text("damaged")
    assert load_keys(path).turning != keys.turning
    path.chmod(0o644)
    with pytest.raises(OutputError, match="others can read"):
        load_keys(path)
    os.truncate(path, 0)
    with pytest.raises(OutputError, match=r"page\.keys"):
        load_keys(tmp_path / "state" / "page.keys" / "page.keys")


def test_the_process_serves_ends_with_its_session_and_comes_back(tmp_path):
    told = []
    keys = Keys.new()
    with socket.create_server(("127.0.0.1", 0)) as free:
        where = Where(False, free.getsockname()[1])  # that no other test's server takes meanwhile
    page = Page("nobody", where, keys, told.append, fresh=False)
    addresses = page.start()
    try:
        assert addresses.phone == ""
        assert addresses.here == f"http://127.0.0.1:{port_of(page)}/#{keys.turning}"
        assert addresses.audience.endswith(keys.reading)
        status, _, body = request(port_of(page), "GET", "/hello", keys.reading)
        assert (status, json.loads(body)) == (200, {"turns": False})
        once = addresses.opened.partition("#once-")[2]
        assert request(port_of(page), "POST", "/key", "x" * len(once))[0] == 403
        status, _, body = request(port_of(page), "POST", "/key", once)
        assert (status, json.loads(body)) == (200, {"key": keys.turning})
        assert request(port_of(page), "POST", "/key", once)[0] == 403  # it was good once
        before = page.server.process
        before.kill()
        waiting.until(lambda: page.server.process is not before, "another process should start")
        waiting.until(lambda: _serves(port_of(page), keys), "it should serve at the same address")
        assert request(port_of(page), "POST", "/key", once)[0] == 403
        assert told == ["the process of the page has ended and is restarted"]
        last = page.server.process.pid
    finally:
        page.close()
    waiting.until(lambda: not waiting.running(last))
    assert not _serves(port_of(page), keys)


def port_of(page):
    return page.server._port


def _serves(port, keys):
    try:
        return request(port, "GET", "/hello", keys.turning)[0] == 200
    except OSError:
        return False


@pytest.mark.long
def test_a_crowd_of_connections_is_gone_in_seconds_and_says_nothing(capfd):
    """More connections than the process may have open: it serves again, and no stranger writes here."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 4096:
        pytest.skip("this system lets a process open too few sockets")
    keys = Keys.new()
    with socket.create_server(("127.0.0.1", 0)) as free:
        where = Where(False, free.getsockname()[1])
    page = Page("nobody", where, keys, print, fresh=False)
    crowd = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))  # that of the process
        page.start()
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, before[1]))
        process = page.server.process
        for _ in range(3000):
            crowd.append(socket.socket())
            crowd[-1].setblocking(False)
            with contextlib.suppress(BlockingIOError):
                crowd[-1].connect(("127.0.0.1", port_of(page)))
        waiting.until(lambda: _serves(port_of(page), keys), "it should serve again")
        assert page.server.process is process
    finally:
        for sock in crowd:
            sock.close()
        page.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        page = Page("nobody", Where(False, port), Keys.new(), print, fresh=False)
        with pytest.raises(OutputError, match=rf"^no page: port {port} .*cannot be had"):
            page.start()
