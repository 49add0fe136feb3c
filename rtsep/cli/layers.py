"""The layers that give an option of `live` its value: command line, preset, `--resume`, `rtsep.toml`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from rtsep.cli.options import of_option
from rtsep.cli.settings import Config, ConfigOption, options_of
from rtsep.controls import OUTPUT, Controls
from rtsep.errors import RtsepError, UsageError
from rtsep.session.options import BALANCES
from rtsep.surfaces import last_state
from rtsep.surfaces.last_devices import CHANNELS, LAST, devices_file, load_last_devices
from rtsep.surfaces.presets import BY as PRESET
from rtsep.surfaces.presets import Presets
from rtsep.surfaces.remote.place import DEFAULT, check_name

COMMAND_LINE, RESUME, FILE, BUILT_IN = "command line", "last session", "rtsep.toml", "built in"
ORDER = (COMMAND_LINE, PRESET, RESUME, FILE, BUILT_IN)
"""The layers in order of precedence: the first one with a value counts."""


@dataclass(frozen=True)
class LayerValue:
    """Value that a layer gives to an option: as the parser returns it, or a number for a control."""

    layer: str
    value: Any
    place: str = ""  # description of the source, such as file and line


@dataclass
class Layers:
    """All layers of one call of `live`."""

    options: Mapping[str, ConfigOption]
    given: Mapping[str, Any]  # from the command line
    built_in: Mapping[str, Any]
    config: Config
    preset: Mapping[str, float]
    preset_name: str
    resumed: Mapping[str, float]  # controls
    resumes: bool
    remembered: Mapping[str, Any]  # devices of the last session
    without: frozenset[str] = field(default=frozenset())  # names of remembered devices that cannot be opened

    def of(self, name: str) -> list[LayerValue]:
        """Return the values of the option `name` in all layers, in order of precedence."""
        values = self._layer_values(name)
        if name not in CHANNELS.values():
            return values
        # Channel numbers apply only to the device of the same layer.
        device = next(device for device, channels in CHANNELS.items() if channels == name)
        counts = self.of(device)[0].layer
        naming = {each.layer for each in self._layer_values(device)}
        above = ORDER.index(counts)
        return [each for each in values if ORDER.index(each.layer) <= above or each.layer not in naming
                or each.layer == BUILT_IN]  # fmt: skip

    def value(self, name: str) -> Any:
        """Return the effective value."""
        return self.of(name)[0].value

    @contextmanager
    def placed(self, name: str) -> Iterator[None]:
        """Let an error about the option `name` begin with file and line, if the value is from the file."""
        try:
            yield
        except RtsepError as error:
            if self.of(name)[0].layer != FILE:
                raise
            raise type(error)(f"{self.config.place(name)}: {error}") from None

    def fill(self, arguments: argparse.Namespace) -> None:
        """Set every option of `arguments` that is not a control to its effective value."""
        for name, option in self.options.items():
            if option.control is None:
                setattr(arguments, option.dest, self.value(name))

    def controls(self) -> Controls:
        """Return the controls at the start; each carries the layer that set it."""
        controls = Controls()
        for name, option in self.options.items():
            if option.control:
                effective = self.of(name)[0]
                if effective.layer != BUILT_IN:
                    by = last_state.BY if effective.layer == RESUME else effective.layer
                    controls.set(option.dest, effective.value, by)
        out, balance = self.of("out")[0], self.of("balance")[0]
        if out.value in BALANCES and ORDER.index(out.layer) < ORDER.index(balance.layer):
            controls.set("balance", BALANCES[out.value], OUTPUT)  # a lower layer assumes another output
        return controls

    def fallbacks(self) -> Iterator[list[str]]:
        """Yield sets of remembered devices to leave out, to try in this order: none, one of them, all.

        After each one, `of` ignores the devices in it.
        """
        names = [name for name in CHANNELS if self._remembers(name)]
        for count in range(len(names) + 1):
            for without in combinations(names, count):
                self.without = frozenset(without)
                yield list(without)

    def unused(self) -> dict[str, Any]:
        """Return the remembered devices that the last set of `fallbacks` leaves out, with their channels."""
        names = [each for name in self.without for each in (name, CHANNELS[name])]
        return {name: self.remembered[name] for name in names if name in self.remembered}

    def _remembers(self, name: str) -> bool:
        first = self.of(name)[0]
        return name in self.remembered and first.value == self.remembered[name] and first.layer != BUILT_IN

    def _layer_values(self, name: str) -> list[LayerValue]:
        """Return the value of each layer as written there."""
        values = []
        if name in self.given:
            values.append(LayerValue(COMMAND_LINE, self.given[name], self.options[name].flag))
        if name in self.preset:
            values.append(LayerValue(PRESET, self.preset[name], f"'{self.preset_name}'"))
        if name in self.resumed:
            values.append(LayerValue(RESUME, self.resumed[name], "--resume"))
        if self.resumes and self._kept(name):
            values.append(LayerValue(RESUME, self.remembered[name], "--resume"))
        if name in self.config.values:
            values.append(LayerValue(FILE, self.config.values[name], self.config.place(name)))
        values.append(LayerValue(BUILT_IN, self.built_in[name]))
        if name not in CHANNELS:
            return values
        # 'last' means the device of the last session, if there was one and it can be opened.
        for each in [each for each in values if each.value == LAST]:
            place = values.index(each)
            last = LayerValue(each.layer, self.remembered.get(name), f"{each.place} ('{LAST}')")
            values[place : place + 1] = [last] if self._kept(name) else []
        return values

    def _kept(self, name: str) -> bool:
        device = next((device for device, channels in CHANNELS.items() if channels == name), name)
        return name in self.remembered and device not in self.without


def gather(parser: argparse.ArgumentParser, words: Sequence[str], notify: Callable[[str], None]) -> Layers:
    """Read all layers for `rtsep live WORDS`; `parser` is the parser of `live`, and loses its defaults.

    `notify` receives a line if nothing can be resumed. Raise `UsageError` for a bad file, preset or control.
    """
    options = options_of(parser)
    built_in = {
        name: option.control.default if option.control else option.action.default
        for name, option in options.items()
    }
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    arguments = parser.parse_args(list(words))
    given = {name: getattr(arguments, each.dest) for name, each in options.items() if each.dest in arguments}
    for name in given:
        control = options[name].control
        if control:
            try:
                given[name] = control.parse(given[name])
            except UsageError as error:
                raise of_option(control.name, error) from None
    config = Config(options)

    def chosen(name: str) -> Any:
        return given.get(name, config.values.get(name, built_in[name]))

    preset = chosen("preset")
    resumes = bool(chosen("resume"))
    session = check_name(chosen("session") or DEFAULT)
    layers = Layers(
        options=options,
        given=given,
        built_in=built_in,
        config=config,
        preset={},
        preset_name=preset or "",
        resumed=_last_controls(session, notify) if resumes else {},
        resumes=resumes,
        remembered={},
    )
    if preset is not None:
        with layers.placed("preset"):
            layers.preset = Presets().load(preset).values
    if resumes or any(chosen(name) == LAST for name in CHANNELS):
        layers.remembered = _last_devices(session, options, notify)
    return layers


def _last_controls(session: str, notify: Callable[[str], None]) -> Mapping[str, float]:
    controls = Controls()
    last_state.resume(controls, notify, session=session)
    return {name: value for name, value in controls.snapshot().items() if controls.moved_by(name)}


def _last_devices(
    session: str, options: Mapping[str, ConfigOption], notify: Callable[[str], None]
) -> dict[str, Any]:
    try:
        found = load_last_devices(devices_file(session))
        return {name: options[name].read(value) for name, value in found.items()}
    except RtsepError as error:
        notify(f"the devices of the last session are unknown: {error}")
    return {}
