"""Players are taken by name and of one program; our own and those that connect devices are not."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from rtsep.audio.pulse_players import Player, PlayerRouter, Undo, named, waiting_for
from rtsep.audio.pulse_virtual import SINK
from rtsep.errors import DeviceError


def raw(index: int, client: int = 7, **about: Any) -> Player:
    properties = {name.replace("_", "."): value for name, value in about.items()}
    return Player.of(SimpleNamespace(index=index, sink=3, client=client, name="x", proplist=properties))


FIREFOX = raw(1, application_name="Firefox", media_name="Lofi radio")
FIREFOX_TOO = raw(2, application_name="Firefox", media_name="News")
FIRE = raw(3, application_name="Fire", media_name="Song")


def test_a_player_is_named_by_a_part_of_a_name_in_any_case():
    assert named("FOX", [FIREFOX, FIREFOX_TOO, FIRE]) == [FIREFOX, FIREFOX_TOO]
    assert named("lofi", [FIREFOX, FIREFOX_TOO, FIRE]) == [FIREFOX]
    assert named("mpv", [FIREFOX]) == []


def test_a_whole_name_counts_more_than_a_part_and_several_programs_are_refused():
    assert named("fire", [FIREFOX, FIRE]) == [FIRE]
    with pytest.raises(DeviceError, match="app:fir is ambiguous: Fire, Firefox are playing"):
        named("fir", [FIREFOX, FIRE])


def test_what_does_not_play_yet_is_said_with_what_plays():
    assert waiting_for("fire", [FIRE]) == ""
    line = waiting_for("mpv", [FIRE])
    assert "'mpv' is playing" in line
    assert "Fire" in line


def test_our_own_streams_and_those_of_modules_are_told_from_players():
    assert raw(1, application_process_id=str(os.getpid())).ours
    assert not FIRE.ours
    assert FIRE.plays
    assert not raw(1, client=0xFFFFFFFF).plays
    assert not raw(1, media_role="filter").plays


def test_what_is_to_be_undone_comes_back_from_its_file():
    undo = Undo("speakers", {"4": "second"})
    assert Undo.of_json(vars(undo)) == undo
    with pytest.raises(ValueError, match="Undo"):
        Undo.of_json({})


class Desk:
    """Server with loudspeakers, a headset and rtsep's virtual sink; rtsep's own output is on the headset."""

    def __init__(self) -> None:
        self.sinks = {name: k for k, name in enumerate(("speakers", "headset", SINK))}
        self.default, self.moves = "speakers", [self.sinks["headset"]]

    def server_info(self) -> SimpleNamespace:
        return SimpleNamespace(default_sink_name=self.default)

    def sink_list(self) -> list[SimpleNamespace]:
        rate = SimpleNamespace(rate=48000)
        return [
            SimpleNamespace(
                index=k, name=name, description=name, sample_spec=rate, proplist={"rtsep.role": "players"}
            )
            for name, k in self.sinks.items()
        ]

    def sink_input_list(self) -> list[SimpleNamespace]:
        about = {"application.process.id": str(os.getpid())}
        return [SimpleNamespace(index=9, sink=self.moves[-1], client=7, name="x", proplist=about)]

    def default_set(self, sink: SimpleNamespace) -> None:
        self.default = sink.name

    def sink_input_move(self, _: int, sink: int) -> None:
        self.moves.append(sink)


def test_our_output_stays_on_its_sink_until_the_user_chooses_another_default():
    desk = Desk()
    router = PlayerRouter(None, Undo(), lambda _: None)
    router.prepare(desk)
    assert router.advance(desk, follows=True) == []
    assert desk.default == SINK
    assert desk.moves[-1] == desk.sinks["headset"]  # where it was, not the default
    desk.default = "headset"
    router.advance(desk, follows=True)
    desk.default = "speakers"
    (line,) = router.advance(desk, follows=True)
    assert "'speakers': playback continues there" in line
    assert desk.moves[-1] == desk.sinks["speakers"]
