"""A page shows and controls the session; slow, read-only and late pages have limits."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import soundfile

from rtsep.controls import BY_NAME
from rtsep.surfaces.page.client import FRAMES_AHEAD
from rtsep.surfaces.remote.place import claim
from rtsep.surfaces.remote.server import Server
from tests.surfaces.page.conftest import KEYS, MAX_UPLOAD, served
from tests.surfaces.page.pages import Browser, request
from tests.waiting import until


def test_a_page_shows_the_session_and_turns_it(browser, session):
    assert browser.welcome["turns"]
    assert [row["name"] for row in browser.welcome["controls"]] == list(BY_NAME)
    assert browser.welcome["most_upload"] == MAX_UPLOAD  # the page's script reads this name
    state = browser.of_kind("state")
    assert (state["state"], set(state["controls"])) == ("playing", set(BY_NAME))
    assert {"late_masks", "underruns", "latency_ms", "levels", "file"} <= set(state["stats"])
    picture = browser.until(lambda message: message["kind"] == "picture" and message["level_db"])
    assert len(picture["level_db"]) == len(picture["share"]) == browser.welcome["bands"]
    values = {"balance": 0.25, "vocals_gain": "-6 dB", "mask": "binary", "vocals_mute": True}
    assert browser.ask("set", controls=values, by="somebody")["kind"] == "done"
    controls = session.controls
    assert (controls.balance, controls.vocals_gain, controls.mask, controls.vocals_mute) == (0.25, -6, 1, 1)
    assert controls.moved_by("balance") == "page"
    browser.until(lambda m: m["kind"] == "state" and m["controls"]["balance"]["by"] == "page")
    back = {name: BY_NAME[name].default for name in values}
    assert browser.ask("set", controls=back)["kind"] == "done"


def test_two_pages_see_what_each_of_them_turns(browser, port, session):
    with Browser(port, KEYS.turning) as other:
        browser.ask("set", controls={"gate": 0.3})
        other.until(lambda m: m["kind"] == "state" and m["controls"]["gate"]["value"] == 0.3)
        session.controls.set("gate", 0.0, "MIDI")
        for page in (browser, other):
            page.until(lambda m: m["kind"] == "state" and m["controls"]["gate"]["by"] == "MIDI")


def test_a_played_file_is_paused_sought_and_looped(browser, session):
    assert browser.ask("pause", on=True)["kind"] == "done"
    assert browser.ask("seek", seconds=100)["kind"] == "done"
    state = browser.until(lambda m: m["kind"] == "state" and m["stats"]["file"]["position_s"] == 100)
    assert state["stats"]["file"]["paused"]
    assert browser.ask("loop", start=100, end=110)["kind"] == "done"
    assert browser.ask("seek", seconds="nowhere")["kind"] == "refused"
    assert browser.ask("pause", on=False)["kind"] == "done"
    browser.until(lambda m: m["kind"] == "state" and m["stats"]["file"]["position_s"] > 100)
    assert session.place.loop == (100, 110)
    assert browser.ask("stretch", speed=0.8, key=2)["kind"] == "done"
    state = browser.until(lambda m: m["kind"] == "state" and m["stats"]["file"]["speed"] == 0.8)
    assert state["stats"]["file"]["key"] == 2
    assert "out of range" in browser.ask("stretch", speed=9)["why"]
    assert browser.ask("stretch", speed=1, key=0)["kind"] == "done"
    assert (browser.welcome["lowest_speed"], browser.welcome["max_key"]) == (0.5, 6)
    assert browser.ask("loop", on=False)["kind"] == "done"


def test_presets_are_saved_and_recalled(browser, session):
    assert browser.ask("set", controls={"threshold": 0.4})["kind"] == "done"
    assert browser.ask("savepreset", name="verse")["kind"] == "done"
    assert browser.ask("set", controls={"threshold": 0.0})["kind"] == "done"
    assert [each["name"] for each in browser.ask("listpresets")["choices"]] == ["verse"]
    assert browser.ask("loadpreset", name="verse")["kind"] == "done"
    assert (session.controls.threshold, session.controls.moved_by("threshold")) == (0.4, "preset")
    assert "a name consists of letters" in browser.ask("loadpreset", name="../verse")["why"]
    assert (
        "there is a preset 'verse' already" in browser.ask("savepreset", name="verse", replace=False)["why"]
    )
    session.controls.threshold = 0
    assert browser.ask("loadpreset", name="verse")["kind"] == "done"
    assert session.controls.threshold == 0.4  # it stayed
    assert browser.ask("savepreset", name="chorus", replace=False)["kind"] == "done"
    session.controls.threshold = 0


def test_a_page_chooses_from_the_lists_only(browser, session):
    model = session.now.hosted.package.path
    assert "none of the lists" in browser.ask("switchmodel", name="/tmp/strange.pt")["why"]
    assert "none of the lists" in browser.ask("switchdevice", input="/etc/passwd")["why"]
    assert "takes" in browser.ask("record", folder="/tmp/elsewhere")["why"]
    for asked in ("end", "subscribe"):
        assert browser.ask(asked)["kind"] == "refused"
    listed = {each["name"]: each for each in browser.ask("listmodels")["choices"]}
    assert listed[str(model)]["current"]
    outputs = browser.ask("listdevices")["choices"]
    assert {"demo", "virtual"} <= {each["name"] for each in outputs}
    assert browser.ask("switchdevice", output="virtual")["kind"] == "done"
    assert session.now.hosted.package.path == model


def test_what_to_do_about_faults_is_asked(browser, session):
    answer = browser.ask("advise")
    assert (answer["kind"], answer["words"].splitlines()) == ("done", session.now.advice())


def test_a_reader_sees_and_turns_nothing(port, session):
    before = session.controls.snapshot()
    with Browser(port, KEYS.reading) as reader:
        assert (reader.welcome["turns"], reader.welcome["lan"]) == (False, False)
        state = reader.of_kind("state")
        for told in (state, reader.ask("get")):
            assert (told["recordings"], "recording" in told["stats"]) == ([], False)
            assert told["input"] == session.now.route.io.source.path.name
            assert str(session.now.route.io.source.path.parent) not in json.dumps(told)
        requests = {
            "set": {"controls": {"bypass": 1}}, "pause": {}, "seek": {"seconds": 1}, "loop": {},
            "record": {}, "stoprecording": {},
            "switchmodel": {"name": "x"}, "switchdevice": {}, "loadpreset": {"name": "x"},
            "savepreset": {"name": "x"}, "listpresets": {}, "listmodels": {}, "listdevices": {},
            "advise": {}, "stretch": {"speed": 0.8}, "learn": {"control": "gate"},
        }  # fmt: skip
        for kind, fields in requests.items():
            assert reader.ask(kind, **fields)["why"] == "this address may only read"
        assert reader.ask("get")["kind"] == "state"
    assert session.controls.snapshot() == before


def test_a_page_that_is_slow_gets_fewer_frames_and_never_old_ones(browser, port, session):
    with Browser(port, KEYS.turning, sees=False) as slow:
        first = [slow.of_kind("state") for _ in range(FRAMES_AHEAD)]
        assert all(state["controls"]["smoothing"]["value"] == 0 for state in first)
        hops = browser.of_kind("state")["stats"]["hops"]
        session.controls.smoothing = 50
        # The one that keeps up has a hundred frames meanwhile.
        browser.until(lambda m: m["kind"] == "state" and m["controls"]["smoothing"]["value"] == 50)
        for _ in range(100):
            browser.of_kind("state")
        slow.send({"kind": "seen"})
        state = slow.of_kind("state")
        assert state["controls"]["smoothing"]["value"] == 50
        assert state["stats"]["hops"] > hops
    session.controls.smoothing = 0


def test_a_session_that_goes_is_told_of_and_found_again(session, browser):
    assert "--midi" in browser.ask("learn", control="gate")["why"]
    first = Server(session, claim("comes-back"), learn=lambda control: f"{control.name}: cc 21").start()
    try:
        with served("comes-back") as port, Browser(port, KEYS.turning) as page:
            page.of_kind("state")
            assert page.ask("learn", control="gate")["words"] == "gate: cc 21"
            assert "threshold" in page.ask("learn", control="treshold")["why"]
            first.close()
            assert page.of_kind("away")["why"]
            assert page.ask("advise")["kind"] == "refused"
            first = Server(session, claim("comes-back")).start()
            page.of_kind("state")
            assert page.ask("advise")["kind"] == "done"
    finally:
        first.close()


def test_the_files_of_the_page_need_no_key_and_nothing_from_elsewhere(port):
    status, headers, body = request(port, "GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert b"http" not in body
    status, headers, _ = request(port, "GET", "/main.js")
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/javascript")
    assert request(port, "GET", "/../server.py")[0] == 404
    assert request(port, "GET", "/qr.svg", KEYS.turning)[0] == 403  # no other device can come
    status, _, body = request(port, "GET", "/hello", KEYS.turning)
    assert (status, json.loads(body)) == (200, {"turns": True})


@pytest.mark.parametrize("stem", ["vocals", "instrumental", "mix"])
def test_takes_are_there_to_listen_to(stem, port, browser, session, tmp_path):
    if not session.recordings:
        session.start_recording(tmp_path / "takes")
        until(lambda: session.recording.seconds > 0.2)
        session.stop_recording()
    browser.until(lambda m: m["kind"] == "state" and m["recordings"])
    status, headers, body = request(port, "GET", f"/take/0/{stem}?key={KEYS.turning}")
    assert (status, headers["Content-Type"], body[:4]) == (200, "audio/wav", b"RIFF")
    assert body == session.recordings[0][stem].read_bytes()
    for key in (KEYS.reading, "", "x"):
        assert request(port, "GET", f"/take/0/{stem}?key={key}")[0] == 403
    assert request(port, "GET", f"/take/1/{stem}", KEYS.turning)[0] == 404
    assert request(port, "GET", "/take/0/passwd", KEYS.turning)[0] == 404


def test_a_dropped_file_is_repeated_although_the_phone_asks_for_nothing_more(port, session):
    long = session.now.route.io.source.path
    song = io.BytesIO()
    soundfile.write(song, np.zeros((22050, 2), np.float32), 44100, format="WAV")
    _, _, body = request(port, "POST", "/upload?name=song.wav", KEYS.turning, song.getvalue())
    path = json.loads(body)["input"]
    with Browser(port, KEYS.turning) as phone:
        phone.send({"kind": "switchdevice", "id": 1, "input": path, "output": None, "loop": True})
        phone.until(lambda message: message["kind"] == "done" and message["id"] == 1)
    until(lambda: session.place.length == 0.5, "the file should play")
    until(lambda: session.place.position > 0.3)
    until(lambda: session.place.position < 0.2, "it should begin again")
    session.switch_device(input=long)
