"""What rtmidi leaves to others on a JACK server: noticing that it has ended, and forgetting half a sysex."""

from __future__ import annotations

import os

import jack

from rtsep.surfaces.midi.names import OWN_CLIENT
from rtsep.surfaces.midi.systems import Output, System

_WATCH, _MENDER = f"{OWN_CLIENT}-watch", f"{OWN_CLIENT}-mend"
_OUR_INPUTS = f"^{OWN_CLIENT}(-[0-9]+)?:"  # JACK numbers clients of one name
_EMPTY_SYSEX = (0xF0, 0xF7)


class JackWatch:
    """Ends this process with the server that runs now, and keeps its inputs there from going deaf.

    To rtmidi, whatever follows a sysex belongs to it until one ends (RtMidi 5.0, `jackProcessIn`): one that a
    full buffer or a pulled plug has cut off would swallow every knob from there on. So our inputs hear an
    empty one now and then.
    """

    def __init__(self, server: System) -> None:
        """Raises `RuntimeError` or what rtmidi raises where the server does not answer (any more)."""
        try:
            self._client = jack.Client(_WATCH, no_start_server=True)
        except jack.JackError as error:
            raise RuntimeError(str(error)) from None
        # Never activated: it takes no part in a period.
        self._client.set_shutdown_callback(lambda *_: os._exit(0))
        self._mender = Output(server, _MENDER)
        self._mender.open(None)

    def tend(self) -> None:
        """Send an empty sysex to our inputs, those that are new as well."""
        for mender in self._client.get_ports(f"^{_MENDER}", is_midi=True, is_output=True):
            reached = {port.name for port in self._client.get_all_connections(mender)}
            for port in self._client.get_ports(_OUR_INPUTS, is_midi=True, is_input=True):
                if port.name not in reached:
                    self._connect(mender, port)
        self._mender.send([_EMPTY_SYSEX])

    def _connect(self, mender: jack.MidiPort, port: jack.MidiPort) -> None:
        try:
            self._client.connect(mender, port)
        except jack.JackError:  # it has just left
            return
