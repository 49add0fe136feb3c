"""The view's player for a local `Session`, with its presets, models and devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.audio import portaudio
from rtsep.audio.devices import Device
from rtsep.errors import ModelError, UsageError
from rtsep.files.demo import demo_song
from rtsep.model.catalog import model_files
from rtsep.model.contract import ModelSpec
from rtsep.model.package import read_package
from rtsep.pipeline import model_rate_for
from rtsep.session.api import Session
from rtsep.session.options import VIRTUAL
from rtsep.session.recorder import recorded_line
from rtsep.surfaces.players.file_keys import FileKeys
from rtsep.surfaces.players.player import Choice, Spectrum
from rtsep.surfaces.players.spectrum_reader import SpectrumReader
from rtsep.surfaces.presets import Preset, Presets, audible, programs

TAKES = Path("takes")
"""Folder for recordings by the record key, without `--record`."""


class SessionPlayer(FileKeys):
    """Player (`rtsep.surfaces.players.player.Player`) for a running `Session`."""

    def __init__(self, session: Session, presets: Presets | None = None) -> None:
        self._session: Session = session
        self._presets = presets or Presets()
        self._folder = session.now.route.options.record or TAKES
        self._spectrum_reader: SpectrumReader | None = None
        self.controls = session.controls

    @property
    def title(self) -> str:
        """Return input -> output as text."""
        return self._session.io.name

    @property
    def hop_budget_us(self) -> float:
        """Return the maximum duration of a hop in us before the next one comes."""
        engine = self._session.engine
        return 1e6 * engine.spec.hop / engine.model_rate

    def _file(self) -> str:
        source = self._session.io.source
        return str(source.path) if source else ""

    def stats(self) -> dict[str, Any]:
        """Return the session's counters, levels and states."""
        return self._session.stats()

    def hop_histogram(self) -> NDArray[np.int64]:
        """Return hops of the active engine by duration."""
        return self._session.engine.hop_histogram()

    def newest(self) -> Spectrum | None:
        """Return new data since the last call, None for nothing."""
        engine = self._session.engine  # changes after a switch
        exchange, rate = engine.exchange, engine.model_rate
        if (
            self._spectrum_reader is None
            or self._spectrum_reader.exchange is not exchange
            or self._spectrum_reader.rate != rate
        ):
            self._spectrum_reader = SpectrumReader(exchange, engine.spec, rate, self.controls)
        return self._spectrum_reader.newest()

    def end(self) -> None:
        """Request the end of the session."""
        self._session.end()

    def over(self, timeout: float | None = 0.0) -> bool:
        """Return whether the session has ended, after at most `timeout` seconds."""
        return self._session.is_over(timeout)

    # --- recording --------------------------------------------------------------------------------

    def start_recording(self, folder: Path | None = None) -> str:
        """Start a take in `folder` (None: the folder of the record key); return the take's own folder.

        Raise `UsageError` or `OutputError`.
        """
        folder = (folder or self._folder).absolute()
        self._session.start_recording(folder)
        state = self._session.recording
        return str(state.folder if state else folder)

    def stop_recording(self) -> str:
        """End the take; return its files as text."""
        files = self._session.stop_recording()
        if not files:
            return "nothing was recorded"
        return recorded_line({stem: path.absolute() for stem, path in files.items()})

    # --- presets ----------------------------------------------------------------------------------

    def presets(self) -> list[Choice]:
        """Return the valid presets. Raise `UsageError`."""
        found, _ = self._presets.load_all()
        notes = ["" if program is None else f"program {program}" for program in programs(found)]
        return [Choice(preset.name, note) for preset, note in zip(found, notes, strict=True)]

    def presets_remark(self) -> str:
        """Return a line for each damaged preset, which the list lacks."""
        return "\n".join(self._presets.load_all()[1])

    def recall_preset(self, name: str) -> None:
        """Set the controls to the values of the preset. Raise `UsageError`."""
        self._presets.recall(name, self.controls)

    def save_preset(self, name: str, replace: bool = True) -> None:
        """Save the controls as a preset; with `replace`, it replaces an existing one and keeps its program.

        Raise `UsageError`, without `replace` also for a name in use, or `OutputError`.
        """
        exists = name in self._presets.names()
        if exists and not replace:
            raise UsageError(f"there is a preset '{name}' already; choose another name, or replace it")
        program = self._presets.load(name).program if exists else None
        values = audible(self.controls.snapshot(), self.controls.moved_by("balance"))
        self._presets.save(Preset(name, values, program), replace)

    # --- models and devices -----------------------------------------------------------------------

    def models(self) -> list[Choice]:
        """Return the shipped and the user's models; damaged files show their error."""
        package, rate = self._session.now.hosted.package, self._session.rate
        now, choices = package.path, []
        for name, path in model_files():
            try:
                spec = read_package(path).spec
            except ModelError as error:
                choices.append(Choice(name, str(error)))
                continue
            choices.append(Choice(name, _in_brief(spec, rate), path == now))
        if all(path != now for _, path in model_files()):  # given by its path
            choices.insert(0, Choice(str(now), _in_brief(package.spec, rate), True))
        return choices

    def switch_model(self, name: str) -> None:
        """Switch to another model when it is ready. On `RtsepError`, the old one continues."""
        self._session.switch_model(name)

    def devices(self) -> list[Choice]:
        """Return the current devices and the sources without a device. Raise `DeviceError`."""
        found, io = self._session.devices(), self._session.io
        choices = []
        for kind, now in (("input", io.input), ("output", io.output)):
            names: set[str] = set()
            for device in found:
                if device.channels(kind) and device.name not in names:
                    names.add(device.name)  # a card is listed only for the first of its systems
                    current = now is not None and device.name == now.name
                    choices.append(
                        Choice(name=device.name, note=_what_it_has(device, kind), current=current, kind=kind)
                    )
        file = io.source.path if io.source else None
        demo = file == demo_song()
        if file and not demo:
            choices.insert(0, Choice(name=str(file), note="the file that plays", current=True, kind="input"))
        return [
            *choices,
            Choice(name="demo", note="the song that ships with rtsep", current=demo, kind="input"),
            Choice(
                name=VIRTUAL,
                note="silent; a recording keeps the result",
                current=io.output is None,
                kind="output",
            ),
        ]

    def devices_remark(self) -> str:
        """Return the limitation of the list of devices."""
        if portaudio.lists_new_devices():
            return ""
        return f"Devices connected during playback are not listed: pick {VIRTUAL}, then open this list again"

    def switch_device(self, *, input: str | None = None, output: str | None = None) -> None:
        """Switch to another device. On `RtsepError`, the old one continues."""
        self._session.switch_device(input=input, out_device=output)


def _what_it_has(device: Device, kind: str) -> str:
    """Return the system of a device, and the channels of its hardware."""
    count = device.inputs if kind == "input" else device.outputs
    if not count:
        return f"{device.api}, ports to be patched"
    return f"{device.api}, {count} channel{'s' if count != 1 else ''}"


def _in_brief(spec: ModelSpec, rate: int) -> str:
    """Return the key figures of a model for the user's choice, in a session at `rate` Hz."""
    latency = f"{1000 * spec.algorithmic_latency / model_rate_for(spec, rate):.1f} ms"
    quality = spec.metrics.get("model_vocals_sdr_mean")
    return latency if quality is None else f"{latency}, vocals {quality:.1f} dB SDR"
