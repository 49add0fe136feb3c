"""A disk that stops answering, on purpose."""

from __future__ import annotations

import threading

from rtsep.files.wavfile import WavFile

PATIENCE_S = 20


def stall(monkeypatch) -> tuple[threading.Event, threading.Event]:
    """Hold every write to a wave file; return what is set by the first of them, and what lets them go on."""
    stalled, go_on = threading.Event(), threading.Event()
    append = WavFile.append

    def held(self, block):
        stalled.set()
        assert go_on.wait(PATIENCE_S)
        append(self, block)

    monkeypatch.setattr(WavFile, "append", held)
    return stalled, go_on
