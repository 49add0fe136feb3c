"""What rtmidi leaves to others on a JACK server: noticing that it has ended, and forgetting half a sysex."""

from __future__ import annotations

import os

import jack

from rtsep.surfaces.midi.names import OWN_CLIENT
from rtsep.surfaces.midi.systems import Output, System

_WATCH, _MENDER = f"{OWN_CLIENT}-watch", f"{OWN_CLIENT}-mend"
_OUR_INPUTS = f"^{OWN_CLIENT}(-[0-9]+)?:"  # JACK numbers clients of one name
_EMPTY_SYSEX = (0xF0, 0xF7)

MAX_SKIPPED = 8
"""Calls of `tend` in a row that may send nothing."""


class JackWatch:
    """Ends this process with the server that runs now, and keeps its inputs there from going deaf.

    To rtmidi, whatever follows a sysex belongs to it until one ends (RtMidi 5.0, `jackProcessIn`): one that a
    full buffer or a pulled plug has cut off would swallow every knob from there on. So our inputs hear an
    empty one now and then.

    The server merges the empty sysex with the controller's messages of the same period. If those fill the
    period's buffer (32 KiB, some 2,700 short messages), the merge drops the last of them. An input that
    brings messages needs no repair, so nothing is sent while messages come.
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
        self._skipped = 0

    def tend(self, brought: int) -> None:
        """Send an empty sysex to our inputs, new ones included, if they have been quiet.

        `brought` is the number of messages that all inputs have brought since the last call. One busy input
        delays the repair of another one by `MAX_SKIPPED` calls at most.
        """
        for mender in self._client.get_ports(f"^{_MENDER}", is_midi=True, is_output=True):
            reached = {port.name for port in self._client.get_all_connections(mender)}
            for port in self._client.get_ports(_OUR_INPUTS, is_midi=True, is_input=True):
                if port.name not in reached:
                    self._connect(mender, port)
        self._skipped = self._skipped + 1 if brought and self._skipped < MAX_SKIPPED else 0
        if not self._skipped:
            self._mender.send([_EMPTY_SYSEX])

    def _connect(self, mender: jack.MidiPort, port: jack.MidiPort) -> None:
        try:
            self._client.connect(mender, port)
        except jack.JackError:  # it has just left
            return
