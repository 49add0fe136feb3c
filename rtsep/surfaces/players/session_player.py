"""The player behind the view: a `Session`, its presets, the models and devices there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.audio import portaudio
from rtsep.audio.devices import Device
from rtsep.errors import ModelError
from rtsep.files.demo import demo_song
from rtsep.model.catalog import model_files
from rtsep.model.contract import ModelSpec
from rtsep.model.package import read_package
from rtsep.session.api import Session
from rtsep.session.options import VIRTUAL
from rtsep.session.recorder import told
from rtsep.surfaces.players.file_keys import FileKeys
from rtsep.surfaces.players.listening import Listening
from rtsep.surfaces.players.player import Choice, Heard
from rtsep.surfaces.presets import Preset, Presets, programs

TAKES = Path("takes")
"""Where the record key records to, where `--record` names no place."""


class SessionPlayer(FileKeys):
    """A `rtsep.surfaces.players.player.Player` that is a running `Session`."""

    def __init__(self, session: Session, presets: Presets | None = None) -> None:
        self._session: Session = session
        self._presets = presets or Presets()
        self._folder = session.now.route.options.record or TAKES
        self._listening: Listening | None = None
        self.controls = session.controls

    @property
    def title(self) -> str:
        """Input -> output, in words."""
        return self._session.io.name

    @property
    def hop_budget_us(self) -> float:
        """How long a hop may take before the next one comes."""
        engine = self._session.engine
        return 1e6 * engine.spec.hop / engine.model_rate

    def stats(self) -> dict[str, Any]:
        """Return the session's counters, levels and states."""
        return self._session.stats()

    def hop_histogram(self) -> NDArray[np.int64]:
        """Return hops of the engine that is heard, by duration."""
        return self._session.engine.hop_histogram()

    def newest(self) -> Heard | None:
        """Return what came since the last call, None for nothing."""
        engine = self._session.engine  # another one after a switch
        exchange, rate = engine.exchange, engine.model_rate
        if (
            self._listening is None
            or self._listening.exchange is not exchange
            or self._listening.rate != rate
        ):
            self._listening = Listening(exchange, engine.spec, rate, self.controls)
        return self._listening.newest()

    def end(self) -> None:
        """Ask the session to end."""
        self._session.end()

    def over(self, timeout: float | None = 0.0) -> bool:
        """Return whether the session is over, after at most `timeout` seconds."""
        return self._session.is_over(timeout)

    # --- recording --------------------------------------------------------------------------------

    def start_recording(self) -> str:
        """Begin a take; return where. Raises `UsageError` or `OutputError`."""
        self._session.start_recording(self._folder)
        state = self._session.recording
        return str(state.folder if state else self._folder)

    def stop_recording(self) -> str:
        """End the take; return what is there now, in words."""
        files = self._session.stop_recording()
        return told(files) if files else "nothing was recorded"

    # --- presets ----------------------------------------------------------------------------------

    def presets(self) -> list[Choice]:
        """Return the presets that can be recalled. Raises `UsageError`."""
        found, _ = self._presets.load_all()
        notes = ["" if program is None else f"program {program}" for program in programs(found)]
        return [Choice(preset.name, note) for preset, note in zip(found, notes, strict=True)]

    def presets_remark(self) -> str:
        """Return why some are not in the list: a line for each that is broken."""
        return "\n".join(self._presets.load_all()[1])

    def recall_preset(self, name: str) -> None:
        """Set the controls as the preset says. Raises `UsageError`."""
        self._presets.recall(name, self.controls)

    def save_preset(self, name: str) -> None:
        """Keep the controls as a preset; one of that name gives way and its program stays.

        Raises `UsageError` or `OutputError`.
        """
        program = self._presets.load(name).program if name in self._presets.names() else None
        self._presets.save(Preset(name, self.controls.snapshot(), program), replace=True)

    # --- models and devices -----------------------------------------------------------------------

    def models(self) -> list[Choice]:
        """Return the models that are shipped or the user's own; broken files say what is wrong with them."""
        now = self._session.now.hosted.package.path
        choices = []
        for name, path in model_files():
            try:
                spec = read_package(path).spec
            except ModelError as error:
                choices.append(Choice(name, str(error)))
                continue
            choices.append(Choice(name, _in_brief(spec), path == now))
        if all(path != now for _, path in model_files()):  # given by its path
            choices.insert(0, Choice(str(now), _in_brief(self._session.now.hosted.package.spec), True))
        return choices

    def switch_model(self, name: str) -> None:
        """Go on with another model, once it is ready. Raises `RtsepError`, and goes on as before."""
        self._session.switch_model(name)

    def devices(self) -> list[Choice]:
        """Return the devices there are now, and what plays without one. Raises `DeviceError`."""
        found, io = self._session.devices(), self._session.io
        choices = []
        for kind, now in (("input", io.input), ("output", io.output)):
            names: set[str] = set()
            for device in found:
                if device.channels(kind) and device.name not in names:
                    names.add(device.name)  # a card is listed under the first of its systems
                    current = now is not None and device.name == now.name
                    choices.append(Choice(device.name, _what_it_has(device, kind), current, kind))
        file = io.source.path if io.source else None
        demo = file == demo_song()
        if file and not demo:
            choices.insert(0, Choice(str(file), "the file that plays", True, "input"))
        return [
            *choices,
            Choice("demo", "the song that ships with rtsep", demo, "input"),
            Choice(VIRTUAL, "nothing is heard; a recording keeps it", io.output is None, "output"),
        ]

    def devices_remark(self) -> str:
        """Return what the list of devices leaves out."""
        if portaudio.looks_anew():
            return ""
        return f"What was plugged in since it plays is not listed: pick {VIRTUAL}, then look again"

    def switch_device(self, *, input: str | None = None, output: str | None = None) -> None:
        """Go on with another device. Raises `RtsepError`, and goes on as before."""
        self._session.switch_device(input=input, out_device=output)


def _what_it_has(device: Device, kind: str) -> str:
    """Return the system of a device, and the channels of its hardware."""
    count = device.inputs if kind == "input" else device.outputs
    if not count:
        return f"{device.api}, ports to be patched"
    return f"{device.api}, {count} channel{'s' if count != 1 else ''}"


def _in_brief(spec: ModelSpec) -> str:
    """Return what a player chooses a model by."""
    latency = f"{1000 * spec.algorithmic_latency / spec.rates[0]:.1f} ms"
    quality = spec.metrics.get("model_vocals_sdr_mean")
    return latency if quality is None else f"{latency}, vocals {quality:.1f} dB SDR"
