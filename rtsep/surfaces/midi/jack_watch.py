"""Workarounds for rtmidi on a JACK server: detect its end, and recover from a truncated SysEx message."""

from __future__ import annotations

import os

import jack

from rtsep.surfaces.midi.names import OWN_CLIENT
from rtsep.surfaces.midi.systems import Output, System

_WATCH, _MENDER = f"{OWN_CLIENT}-watch", f"{OWN_CLIENT}-mend"
_OUR_INPUTS = f"^{OWN_CLIENT}(-[0-9]+)?:"  # JACK numbers clients of one name
_EMPTY_SYSEX = (0xF0, 0xF7)

MAX_SKIPPED = 8
"""Maximum number of consecutive calls of `tend` that send nothing."""


class JackWatch:
    """Ends this process with the current server, and keeps its inputs there working.

    rtmidi assigns all bytes after the start of a SysEx message to it until its end (RtMidi 5.0,
    `jackProcessIn`): a message truncated by a full buffer or an unplugged cable would swallow all later
    input. Therefore rtsep's inputs regularly get an empty SysEx message.

    The server merges the empty message with the controller's messages of the same period. If these fill the
    period's buffer (32 KiB, about 2,700 short messages), the merge drops the last of them. An input that
    delivers messages needs no repair, so nothing is sent while messages arrive.
    """

    def __init__(self, server: System) -> None:
        """Raise `RuntimeError` or rtmidi's error if the server does not answer (any more)."""
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
        """Send an empty SysEx message to rtsep's inputs, including new ones, if they have been quiet.

        `brought` is the number of messages from all inputs since the last call. One busy input delays the
        repair of another one by at most `MAX_SKIPPED` calls.
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
        except jack.JackError:  # it has just disappeared
            return
