"""A map at work on two ports: what tests of knobs, buttons and feedback play with."""

from dataclasses import replace

from rtsep.controls import BY_NAME, Controls, Travel
from rtsep.surfaces.midi.feedback import Feedback
from rtsep.surfaces.midi.map import (
    KNOB,
    TOGGLE,
    Entry,
    MidiMap,
)
from rtsep.surfaces.midi.messages import CC, Decoder
from rtsep.surfaces.midi.turn import ActiveMap

PORT, OTHER = 0, 1


class Rig:
    """Controls, a map, and hands on two ports."""

    def __init__(self, *entries, **options):
        self.controls = Controls()
        self.programs = []
        self.hands = ActiveMap(
            MidiMap(entries, **options), self.controls, lambda *program: self.programs.append(program)
        )
        self.told = []
        self.feedback = Feedback(self.hands.knobs, lambda port, messages: self.told.extend(messages))
        self._decoders = {PORT: Decoder(), OTHER: Decoder()}

    def play(self, *messages, port=PORT, name="pad"):
        events = [event for message in messages for event in self._decoders[port].feed(message)]
        self.hands.take(events, port, name)
        return self

    def turn(self, *values, number=1, port=PORT):
        for value in values:
            self.play([0xB0, number, value], port=port)
        return self

    def tell(self):
        self.told.clear()
        self.feedback.update({PORT: "pad"})
        return list(self.told)


def entry(name, kind=CC, number=1, **settings):
    control = BY_NAME[name]
    travel = Travel.whole(control)
    if "range" in settings:
        travel = replace(travel, low=settings["range"][0], high=settings.pop("range")[1])
    mode = TOGGLE if control.unit in ("switch", "choice") else KNOB
    return Entry(control, kind, number, travel, **{"mode": mode} | settings)


def press(rig, velocity=100, number=1, port=PORT):
    return rig.play([0x90, number, velocity], port=port)


def release(rig, number=1):
    return rig.play([0x80, number, 0])
