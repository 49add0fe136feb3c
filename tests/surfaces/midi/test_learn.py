"""The learned knob, and the changes in the user's file."""

import queue
from concurrent.futures import ThreadPoolExecutor

import pytest

from rtsep.controls import BY_NAME, Controls
from rtsep.errors import DeviceError, RtsepError, UsageError
from rtsep.surfaces.midi import learn as learn_module
from rtsep.surfaces.midi import surface as surface_module
from rtsep.surfaces.midi.learn import Received, is_ambiguous, moves, recognise, write_entry
from rtsep.surfaces.midi.map import MidiMap, load_map, parse_map
from rtsep.surfaces.midi.messages import CC14, NRPN, Decoder, Event, encode
from rtsep.surfaces.midi.surface import MidiOptions, MidiSurface
from rtsep.surfaces.midi.turn import ActiveMap
from tests.waiting import until

KNOB, SWITCH = BY_NAME["threshold"], BY_NAME["bypass"]


def learned(messages, control=KNOB):
    decoder = Decoder()
    return recognise([event for message in messages for event in decoder.feed(message)], control)


def turned(*values, number=21, channel=1):
    return [[0xB0 | channel - 1, number, value] for value in values]


@pytest.mark.parametrize(
    ("messages", "settings"),
    [
        (turned(3, 4, 6, 9, 12, 13, 14), {"cc": 21, "channel": 1}),
        (turned(64, channel=16), {"cc": 21, "channel": 16}),
        (turned(*range(128)), {"cc": 21, "channel": 1}),
        (turned(10, 11, number=5) + turned(*range(20)), {"cc": 21, "channel": 1}),
        (turned(1, 1, 1, 2, 1, 127, 127, 126), {"cc": 21, "channel": 1, "encoder": "twos-complement"}),
        (turned(1, 1, 1, 1), {"cc": 21, "channel": 1, "encoder": "twos-complement"}),
        (turned(65, 65, 66, 65, 63, 63, 63), {"cc": 21, "channel": 1, "encoder": "offset"}),
        (turned(1, 1, 1, 65, 65, 65, 66), {"cc": 21, "channel": 1, "encoder": "sign-magnitude"}),
        (turned(127, 0), {"cc": 21, "channel": 1, "mode": "toggle"}),
        (turned(127, 0, 127, 0, 127, 0), {"cc": 21, "channel": 1, "mode": "toggle"}),
        (turned(127, 127, 127, 127), {"cc": 21, "channel": 1, "encoder": "twos-complement"}),
        (turned(127), {"cc": 21, "channel": 1, "mode": "latched"}),
        ([[0x99, 36, 80], [0x89, 36, 0]], {"note": 36, "channel": 10, "mode": "toggle"}),
        ([m for v in range(0, 16383, 500) for m in encode(CC14, 2, 7, v)], {"cc14": 7, "channel": 2}),
        ([m for v in range(0, 16383, 500) for m in encode(NRPN, 3, 300, v)], {"nrpn": 300, "channel": 3}),
        ([[0xB0, 99, 0], [0xB0, 98, 9], *[[0xB0, 96, 0]] * 4], {"nrpn": 9, "channel": 1}),
        ([[0xB0, 99, 0], [0xB0, 98, 9], [0xB0, 6, 5]], {"nrpn": 9, "channel": 1}),
        # Two knobs 32 apart, one after the other, are no pair: the one that moved more is meant.
        (turned(*range(5), number=7) + turned(*range(20), number=39), {"cc": 39, "channel": 1}),
    ],
)
def test_what_was_moved(messages, settings):
    assert learned(messages) == settings


@pytest.mark.parametrize(
    ("messages", "settings"),
    [
        (turned(127, 0), {"cc": 21, "channel": 1, "mode": "toggle"}),
        (turned(*range(0, 128, 4)), {"cc": 21, "channel": 1, "mode": "toggle"}),
        (turned(127), {"cc": 21, "channel": 1, "mode": "latched"}),
    ],
)
def test_what_a_switch_is_switched_by(messages, settings):
    assert learned(messages, SWITCH) == settings


@pytest.mark.parametrize("messages", [[], [[0xE0, 0, 0]], [[0x80, 36, 0]], [[0xF8]] * 50], ids=str)
def test_what_is_no_move(messages):
    assert learned(messages) is None


@pytest.mark.parametrize("control", [KNOB, SWITCH], ids=lambda c: c.name)
@pytest.mark.parametrize(
    "messages",
    [turned(3, 4, 6, 9), turned(1, 1, 1, 1), turned(127, 0), [[0x90, 36, 80]], encode(NRPN, 1, 300, 5) * 3],
    ids=["knob", "endless", "button", "pad", "nrpn"],
)
def test_what_is_learned_makes_a_map(tmp_path, control, messages):
    path = tmp_path / "folder" / "midi.toml"
    settings = learned(messages, control)
    write_entry(path, control, settings)
    entry = load_map(path).entries[0]
    assert entry.control == control
    assert settings[entry.kind] == entry.number
    assert not list(path.parent.glob("*.part"))


MINE = """\
# my pads
channel = 3   # the left one

[gate]
cc = 9      # third knob

# the big one
[threshold]
cc = 21     # was the mod wheel
range = [0.1, 0.8]   # enough
takeover = false

[bypass]
note = 40
"""


def test_comments_order_and_all_else_stay(tmp_path):
    path = tmp_path / "midi.toml"
    path.write_text(MINE)
    write_entry(path, KNOB, {"cc": 50, "channel": 1})
    assert path.read_text() == MINE.replace(
        "cc = 21     # was the mod wheel\nrange = [0.1, 0.8]   # enough\ntakeover = false\n",
        "cc = 50     # was the mod wheel\nrange = [0.1, 0.8]   # enough\nchannel = 1\n",
    )


def test_another_kind_of_knob_takes_the_place(tmp_path):
    path = tmp_path / "midi.toml"
    path.write_text(MINE)
    write_entry(path, KNOB, {"nrpn": 300, "channel": 2})
    text = path.read_text()
    entry = next(e for e in parse_map(text, path).entries if e.control == KNOB)
    assert (entry.kind, entry.number, entry.travel.low) == ("nrpn", 300, 0.1)
    for kept in (
        "# my pads",
        "# the left one",
        "# third knob",
        "# the big one",
        "# enough",
        "# was the mod wheel",
    ):
        assert kept in text


PAD = '[bypass]\nnote = 40\nport = "Launchpad"   # the left one\n'


@pytest.mark.parametrize(
    ("ports", "stays"),
    [
        (["Launchpad Mini 28:0"], True),
        (["nanoKONTROL2 CTRL 24:0"], False),
        (["Launchpad Mini 28:0", "nanoKONTROL2 CTRL 24:0"], False),
        ([""], False),
        ([], False),
    ],
)
def test_the_port_of_another_controller_goes_with_its_knob(tmp_path, ports, stays):
    path = tmp_path / "midi.toml"
    path.write_text(f"defaults = false\n{PAD}")
    write_entry(path, SWITCH, {"cc": 21, "channel": 1, "mode": "toggle"}, ports)
    assert ('port = "Launchpad"   # the left one' in path.read_text()) == stays
    controls = Controls()
    for port in ports:
        ActiveMap(load_map(path), controls).take([Event("cc", 1, 21, 127)], 0, port)
        assert controls.bypass == 1
        controls.bypass = 0


def test_a_new_control_comes_last(tmp_path):
    path = tmp_path / "midi.toml"
    path.write_text(MINE)
    write_entry(path, BY_NAME["blend"], {"cc": 4, "channel": 1})
    assert path.read_text() == f"{MINE}\n[blend]\ncc = 4\nchannel = 1\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[threshold]\ncx = 1", "line 2: threshold has no setting"),
        ("[[threshold]]\ncc = 1\n[[threshold]]\ncc = 2", "threshold has 2 knobs"),
    ],
)
def test_a_file_that_cannot_be_changed_is_left_alone(tmp_path, text, words):
    path = tmp_path / "midi.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        write_entry(path, KNOB, {"cc": 1, "channel": 1})
    assert path.read_text() == text


def test_a_button_on_a_knob_with_a_curve_drops_the_curve(tmp_path):
    path = tmp_path / "midi.toml"
    path.write_text('[threshold]\ncc = 1\ncurve = "dB"\nrange = [0.1, 0.8]\n')
    write_entry(path, KNOB, {"note": 36, "channel": 1, "mode": "toggle"})
    (entry, *_) = load_map(path).entries
    assert (entry.mode, entry.travel.low, entry.travel.high) == ("toggle", 0.1, 0.8)


def test_a_link_stays_one_and_who_may_read_the_file_still_may(tmp_path):
    path, kept = tmp_path / "midi.toml", tmp_path / "dotfiles" / "rtsep.toml"
    kept.parent.mkdir()
    kept.write_text(MINE)
    kept.chmod(0o644)
    path.symlink_to(kept)
    write_entry(path, KNOB, {"cc": 50, "channel": 1})
    assert path.is_symlink()
    assert "cc = 50" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o644


def test_where_no_file_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RtsepError, match="cannot write the map"):
        write_entry(tmp_path / "file" / "midi.toml", KNOB, {"cc": 1, "channel": 1})


@pytest.fixture
def surface(monkeypatch, tmp_path):
    """A surface without ports, whose map is a file that is not there yet."""
    monkeypatch.setattr(surface_module, "missing", lambda: "")
    path = tmp_path / "midi.toml"
    options = MidiOptions((), MidiMap((), feedback=False), path)
    surface = MidiSurface(Controls(), options, lambda line: None)
    surface.path = path
    return surface


def test_a_knob_is_learned_while_it_plays_and_turns_nothing_meanwhile(surface):
    with ThreadPoolExecutor() as pool:
        outcome = pool.submit(surface.learn, KNOB, 60.0)
        until(lambda: surface._taught is not None)
        with pytest.raises(UsageError, match="another knob is being learned"):
            surface.learn(SWITCH, 1.0)
        surface._take(0, turned(3, 4, 6, 9, 12, 13, 14))
        assert outcome.result(60) == "threshold: cc 21, channel 1: 0 to 1, even in value"
    (entry,) = [entry for entry in load_map(surface.path).entries if entry.in_file]
    assert (entry.control, surface._taught) == (KNOB, None)
    assert surface.active_map.moves == 0


def test_a_knob_is_learned_with_the_port_that_it_was_moved_on(surface):
    surface.path.write_text('[threshold]\ncc = 1\nport = "launchpad"\n')
    with ThreadPoolExecutor() as pool:
        outcome = pool.submit(surface.learn, KNOB, 60.0)
        until(lambda: surface._taught is not None)
        surface._take(0, turned(3, 4, 6, 9, 12, 13, 14))
        assert outcome.result(60) == "threshold: cc 21, channel 1: 0 to 1, even in value"


@pytest.mark.parametrize(
    ("first", "then", "encoder"),
    [
        ([1, 1, 1, 1], [65, 65, 65], "sign-magnitude"),
        ([65, 65, 65, 65], [1, 1, 1], "sign-magnitude"),
        ([1, 1, 1, 1], [127, 127, 127], "twos-complement"),
        ([65, 65, 65, 65], [63, 63, 63], "offset"),
    ],
    ids=str,
)
def test_an_endless_knob_turned_one_way_is_asked_for_the_other(monkeypatch, first, then, encoder):
    monkeypatch.setattr(learn_module, "QUIET_S", 0.01)
    received, asked = queue.Queue(), []

    def send(values):
        for value in values:
            received.put(Received("pad", Event("cc", 1, 21, value)))

    def ask(line):
        asked.append(line)
        for other in (Event("note", 1, 40, 100), Event("note", 1, 21, 100), *[Event("cc", 1, 22, 64)] * 20):
            received.put(Received("pad", other))  # something else is touched meanwhile
        send(then)

    send(first)
    events = [each.event for each in moves(received, KNOB, 60.0, ask)]
    assert recognise(events, KNOB) == {"cc": 21, "channel": 1, "encoder": encoder}
    assert (len(asked), "the other way" in asked[0], is_ambiguous(events, KNOB)) == (1, True, False)


@pytest.mark.parametrize(
    ("values", "control", "ambiguous"),
    [
        ([1, 1, 1, 1], KNOB, True),
        ([65, 65, 65, 66], KNOB, True),
        ([127, 127, 127, 126], KNOB, False),  # no other coding sends this for few clicks
        ([63, 63, 63], KNOB, False),
        ([1, 1, 1, 1], SWITCH, False),  # it toggles, in any direction
        ([3, 4, 6, 9, 12, 13, 14], KNOB, False),
    ],
)
def test_one_direction_is_ambiguous_if_two_codings_fit(values, control, ambiguous):
    events = [Event("cc", 1, 21, value) for value in values]
    assert is_ambiguous(events, control) == ambiguous


def test_a_doubt_is_reported_if_the_other_direction_never_comes(surface, monkeypatch):
    monkeypatch.setattr(learn_module, "OTHER_WAY_S", 0.01)
    lines = []
    surface._notify = lines.append
    with ThreadPoolExecutor() as pool:
        outcome = pool.submit(surface.learn, KNOB, 60.0)
        until(lambda: surface._taught is not None)
        surface._take(0, turned(1, 1, 1, 1))
        assert "turned one way only" in outcome.result(60)
    assert len(lines) == 1
    assert "the other way, too" in lines[0]


def test_where_nothing_is_moved_the_map_stays(surface):
    with pytest.raises(DeviceError, match="no knob or pad that can turn threshold was moved"):
        surface.learn(KNOB, 0.05)
    assert not surface.path.exists()
    assert surface._taught is None
