"""The page in a real browser, beside a real session: its controls act on the output."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.dsp.policy import shape_mask
from rtsep.files.demo import demo_song
from tests.e2e import browsers
from tests.e2e.browsers import LAPTOP, PHONE, SMALL, Page
from tests.e2e.liveprocess import ROOT, no_jack
from tests.waiting import until

pytestmark = [pytest.mark.long]

SCREENS = os.environ.get("RTSEP_SCREENS")
"""A folder; the pictures of docs/screens are made with it."""


@pytest.fixture(scope="module")
def browser():
    with browsers.opened() as browser:
        yield browser


def address_of(live, kind="page"):
    return live.wait_said(f"{kind}: http").rpartition(" ")[2]


def levels(rig, noise):
    """Return the RMS of each recorded channel, as a part of what was played, once it is steady."""
    sound = rig.play(noise).sound[rig.latency + len(noise) // 2 : len(noise)]
    return np.sqrt((sound**2).mean(axis=0)) / np.sqrt((noise**2).mean())


def db(decibels):
    return 10 ** (decibels / 20)


def shaped(mask, threshold):
    """Return what the threshold makes of a mask that is the same everywhere."""
    out, smooth = np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)
    shape_mask(np.full((1, 1), mask, np.float32), smooth, 0, threshold, 0.0, 0.0, out)
    return float(out[0, 0])


HEARD = [
    # Actions on the page, their undoing, and the levels of voice and music after each.
    ("Voice gain", "-12", (0.5 * db(-12), 0.5)),
    ("Music gain", "6", (0.5, 0.5 * db(6))),
    ("Threshold", "0.8", (shaped(0.5, threshold=0.8), 1 - shaped(0.5, threshold=0.8))),
    ("Gate", "0.8", (0, 1)),
    ("Blend", "0", (1, 0)),
    ("Mute voice", None, (0, 0.5)),
    ("Solo voice", None, (0.5, 0)),
    ("Mute music", None, (0.5, 0)),
    ("Solo music", None, (0, 0.5)),
    ("Original", None, (1, 0)),
]


@pytest.mark.jack
def test_every_control_of_the_page_is_audible(start_rig, browser, half_model):
    rig = start_rig("--out", "both", "--model", half_model, "--page", "local")
    rig.patch()
    noise = np.random.default_rng(1).normal(0, 0.05, (22050, 2)).astype(np.float32)
    page = Page(browser, address_of(rig.live), LAPTOP).live()
    page.tab("Sound")

    def expect(voice, music, what):
        for _ in range(3):  # the take after a change that was still on its way
            found = levels(rig, noise)
            if np.allclose(found, (voice, voice, music, music), atol=0.02):
                return
        raise AssertionError(f"{what}: voice and music at {found}")

    expect(0.5, 0.5, "at first")
    for name, value, (voice, music) in HEARD:
        control = page.button(name) if value is None else page.slider(name)
        if value is None:
            control.click()
        else:
            control.fill(value)
        expect(voice, music, name)
        if value is None:
            control.click()
        else:
            page.button(f"{name} ").click()  # its value: back to the default
        expect(0.5, 0.5, f"{name} undone")
    page.slider("Threshold").fill("0.4")
    page.button("binary").click()
    expect(1, 0, "binary")
    page.button("soft").click()
    page.slider("Smoothing").fill("60")
    rig.live.wait_line(lambda line: line["state"] == "playing", "it should play")
    page.shows(".fader.smoothing .mover", "by page")
    assert (page.errors, page.hosts) == ([], {address_of(rig.live).split("/")[2]})


@pytest.mark.jack
def test_the_balance_is_audible_and_two_pages_show_it(start_rig, browser, half_model):
    rig = start_rig("--out", "mix", "--model", half_model, "--page", "local")
    rig.patch(("mix_L", "mix_R"))
    noise = np.random.default_rng(1).normal(0, 0.05, (22050, 2)).astype(np.float32)
    address = address_of(rig.live)
    phone, laptop = Page(browser, address, PHONE).live(), Page(browser, address, LAPTOP).live()

    def expect(level):
        for _ in range(3):
            found = levels(rig, noise)[:2]
            if np.allclose(found, level, atol=0.02):
                return
        raise AssertionError(f"at {found}, not {level}")

    expect(1)
    phone.button("Music").first.tap()
    expect(0.5)
    laptop.shows(".balance .words", "music alone")
    box = phone.slider("Balance between music and voice").bounding_box()
    phone.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(1)
    laptop.page.keyboard.press(",")
    laptop.page.keyboard.press(",")
    laptop.page.keyboard.press(".")
    until(lambda: phone.slider("Balance between music and voice").input_value() == "0.45")
    laptop.slider("Balance between music and voice").focus()
    laptop.page.keyboard.press("End")
    expect(0.5)
    assert phone.errors == laptop.errors == []


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """The demo song, ten times."""
    sound, rate = soundfile.read(demo_song(), dtype="float32")
    path = tmp_path_factory.mktemp("song") / "a long song.flac"
    soundfile.write(path, np.tile(sound, (10, 1)), rate)
    return path


@pytest.fixture
def playing(start_live, songs, tmp_path):
    """A session that plays on the virtual device for as long as it is wanted, and records."""
    return start_live(
        "--in", songs, "--out", "mix", "--out-device", "virtual",
        "--page", "lan", "--record", tmp_path / "takes",
    )  # fmt: skip


def test_a_lost_connection_is_shown_and_mended(playing, browser):
    page = Page(browser, address_of(playing), PHONE).live()
    away = page.page.locator("#away")
    page.button("❚❚").or_(page.button("Pause")).first.tap()
    page.context.set_offline(True)
    away.wait_for(state="visible")
    assert "offline" in away.inner_text()
    page.context.set_offline(False)
    page.live()
    away.wait_for(state="hidden")
    for pid in children(playing.pid, "rtsep.surfaces.page.process"):
        os.kill(pid, signal.SIGKILL)
    away.wait_for(state="visible")
    assert "lost" in away.inner_text()
    page.live()
    page.button("Mute voice").tap()
    until(lambda: page.button("Mute voice").get_attribute("aria-pressed") == "true")
    playing.send(signal.SIGINT)
    until(lambda: "ended" in away.inner_text())


def children(pid, module):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found += [int(stat.parent.name)] if module in (stat.parent / "cmdline").read_text() else []
        except OSError:
            pass
    assert found
    return found


def test_a_stranger_sees_nothing_and_the_audience_turns_nothing(playing, browser):
    address = address_of(playing)
    stranger = Page(browser, address[:-1] + ("A" if address[-1] != "A" else "B"), PHONE)
    stranger.page.get_by_text("This address is not valid").wait_for()
    assert stranger.page.locator(".balance").count() == 0
    audience = Page(browser, address_of(playing, "(read-only)"), PHONE).live()
    assert audience.button("Mute voice").is_disabled()
    assert audience.slider("Balance between music and voice").is_disabled()
    assert audience.page.locator("#health").inner_text()


def frames_sent(page):
    """Load the page again; return the list of messages that it sends from then on."""
    sent = []

    def follow(socket):
        socket.on("framesent", lambda frame: sent.append(json.loads(frame)))

    page.page.on("websocket", follow)
    page.page.reload()
    page.live()
    return sent


def test_a_phone_records_listens_picks_and_drops_a_file(playing, browser, tmp_path):
    page = Page(browser, address_of(playing, "phone in this network"), PHONE).live()
    sent = frames_sent(page)
    page.tab("Takes")
    page.button("Stop").tap()  # it was recorded from the start on
    page.page.get_by_text("Take 1").wait_for()
    page.button("Record").tap()
    page.button(re.compile("Stop 0:0[1-9]")).wait_for()
    page.button("Stop").tap()
    page.page.get_by_text("Take 2").wait_for()
    voice = page.page.get_by_label("Take 1, voice", exact=True)
    voice.evaluate("player => { player.muted = true; return player.play(); }")
    until(lambda: voice.evaluate("player => player.currentTime") > 0.2)
    with page.page.expect_download() as download:
        page.page.get_by_label("Take 1, voice: save").tap()
    assert download.value.path().stat().st_size > 10_000

    page.tab("Sound")
    page.page.get_by_label("Name of a preset").fill("verse")
    page.button("Save").tap()
    page.slider("Gate").fill("0.5")
    page.button("verse").tap()
    page.shows(".fader.gate .mover", "by preset")
    page.slider("Gate").fill("0.25")
    page.shows(".fader.gate .mover", "by page")
    page.page.get_by_label("Name of a preset").fill("verse")
    page.button("Save").tap()
    page.button("Keep it").tap()
    page.button("verse").first.tap()
    page.shows(".fader.gate .mover", "by preset")
    assert page.slider("Gate").input_value() == "0"  # the preset stayed
    page.slider("Gate").fill("0.25")
    page.shows(".fader.gate .mover", "by page")
    page.button("Save").tap()
    page.button("Replace 'verse'").tap()
    until(lambda: page.page.get_by_label("Name of a preset").input_value() == "")
    page.slider("Gate").fill("0.5")
    page.shows(".fader.gate .mover", "by page")
    page.button("verse").tap()
    until(lambda: page.slider("Gate").input_value() == "0.25")
    page.tab("Stage")
    page.button("Loop: start").tap()
    page.button("Loop: end").wait_for()

    page.tab("Setup")
    page.page.locator(".choice", has_text="stage").tap()
    page.page.locator(".choice[aria-pressed=true]", has_text="stage").wait_for()
    song = tmp_path / "my song.wav"
    song.write_bytes(wav(seconds=3))
    page.page.set_input_files("#file-to-play", song)
    page.page.locator("#title", has_text="my song.wav").wait_for()
    page.tab("Stage")
    page.page.locator("#file", has_text="0:03").wait_for()
    page.button("End loop").wait_for()  # a dropped file is repeated,
    switches = [frame for frame in sent if frame["kind"] == "switchdevice"]
    assert [frame["loop"] for frame in switches] == [True]
    assert not [frame for frame in sent if frame["kind"] == "loop"]  # without help of the page
    page.button("End loop").tap()
    page.button("Loop: start").wait_for()  # the start in the other file is forgotten
    page.button("Pause").tap()
    page.button("Play").first.wait_for()
    assert page.errors == []


def test_speed_and_key_are_turned_by_a_thumb_and_by_keys(playing, browser):
    phone = Page(browser, address_of(playing), PHONE).live()
    laptop = Page(browser, address_of(playing), LAPTOP).live()

    def stretched(speed, key):
        playing.wait_line(
            lambda line: (line["file"]["speed"], line["file"]["key"]) == (speed, key), f"{speed}, {key}"
        )

    assert phone.page.evaluate(
        "(main => main.scrollHeight <= main.clientHeight)(document.querySelector('main'))"
    )
    phone.slider("Speed").fill("0.8")
    phone.slider("Key").fill("-2")
    stretched(0.8, -2)
    laptop.shows(".speed .value", "80 %")
    laptop.shows(".key .value", "−2")
    assert laptop.slider("Key").get_attribute("aria-valuetext") == "2 semitones down"
    laptop.page.locator("body").press("]")
    laptop.page.locator("body").press(")")
    stretched(0.85, -1)
    laptop.slider("Speed").focus()
    laptop.page.keyboard.press("End")
    stretched(1.5, -1)
    phone.button("Speed 150 %").tap()  # its value: back to what is recorded
    phone.button("Key 1 semitone down").tap()
    stretched(1, 0)
    for number in range(30):
        laptop.slider("Speed").fill(str(1 - number / 100))
    stretched(0.71, 0)
    assert phone.errors == laptop.errors == []


@pytest.fixture
def app():
    """`rtsep app`, and the address of its page."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rtsep", "app"], cwd=ROOT, env=no_jack(), stderr=subprocess.PIPE, text=True
    )
    try:
        lines = iter(process.stderr.readline, "")
        yield next(line for line in lines if "page: " in line).split()[-1]
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_app_plays_what_the_page_has_chosen(app, browser):
    page = Page(browser, app, PHONE).live()
    page.page.get_by_text("Then press play").wait_for()  # Setup comes first
    for name in ("demo", "virtual", "stage"):
        page.page.locator(".choice", has_text=name).first.tap()
    assert page.page.locator(".choice[aria-pressed=true]").count() == 3
    page.button("▶ Play").tap()
    page.page.get_by_text("Then press play").wait_for(state="hidden")
    page.page.locator(".choice[aria-pressed=true]", has_text="stage").wait_for()
    page.tab("Stage")
    page.page.locator("#file .time", has_text=re.compile("0:0[1-9]")).first.wait_for()
    page.button("End loop").wait_for()
    assert page.errors == []


def wav(seconds):
    out = io.BytesIO()
    tone = 0.3 * np.sin(np.arange(44100 * seconds) * 0.06)
    soundfile.write(out, tone, 44100, format="WAV")
    return out.getvalue()


@pytest.mark.parametrize("colours", ["dark", "light"])
@pytest.mark.parametrize("kind", [PHONE, SMALL, LAPTOP], ids=["phone", "small", "laptop"])
def test_anybody_can_use_it(kind, colours, playing, browser, tmp_path):
    """Nothing that axe-core finds; what is to be touched is large, and nothing reaches beyond the screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = Page(browser, address_of(playing), kind, color_scheme=colours, bypass_csp=True).live()
    if SCREENS:
        page.slider("Speed").fill("0.9")
        page.slider("Key").fill("-2")
        page.slider("Key").blur()
    time.sleep(12 if SCREENS else 1)  # for the pictures the spectrogram fills
    tabs = ["Sound", "Takes", "Setup"] if kind is LAPTOP else ["Stage", "Sound", "Takes", "Setup"]
    for tab in tabs:
        page.tab(tab)
        if tab == "Setup":
            page.page.locator(".choice", has_text="studio").wait_for()
        found = axe.run(page.page).response
        assert len(found["passes"]) > 10
        assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for element in page.page.locator("button:visible, input[type=range]:visible, summary:visible").all():
            box = element.bounding_box()
            assert min(box["width"], box["height"]) >= 44, element.inner_text()
        name = f"page-{'laptop' if kind is LAPTOP else 'phone'}-{tab.lower()}"
        if SCREENS and colours == "dark" and kind is not SMALL and name in PICTURES:
            page.page.screenshot(path=Path(SCREENS, f"{name}.png"), scale="css")
    assert page.errors == []


PICTURES = {"page-phone-stage", "page-laptop-sound"}
