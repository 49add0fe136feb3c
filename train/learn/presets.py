"""The systems by name, for `--system` of the command line."""

from __future__ import annotations

import ast
import dataclasses
import typing
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rtsep.dsp.windows import PROFILES
from rtsep.errors import ModelError, UsageError, suggest
from train.learn.nets.causal import Causal
from train.learn.nets.column_dense import ColumnDense
from train.learn.nets.column_resnet import ColumnResNet
from train.learn.nets.gru import Gru
from train.learn.nets.unet import UNet
from train.learn.system import System, Training

CAUSAL = Causal()
OPEN = replace(CAUSAL.training.recipe, open_only=True)

# A larger net: a finer grid of bins, so one halving more to the same bands.
STUDIO = replace(
    CAUSAL,
    framing=PROFILES["studio"],
    pool=((384, 1), (384, 2), (256, 4), (1024, 16)),
    channels_down=(24, 32, 64, 96),
    dim=128,
    width=224,
    spread=176,
    layers=5,
    lookahead=2,
    training=replace(CAUSAL.training, hops=258),
)

PRESETS: dict[str, System] = {
    "causal": CAUSAL,  # rtsep's own, for the profile `light`
    # The larger net without look-ahead: its weights begin with those of `studio`.
    "causal-live": replace(
        STUDIO, framing=PROFILES["live"], lookahead=0, training=replace(STUDIO.training, hops=516)
    ),
    "causal-open": replace(CAUSAL, training=replace(CAUSAL.training, recipe=OPEN)),
    "causal-stage": replace(
        CAUSAL, framing=PROFILES["stage"], training=replace(CAUSAL.training, batch=2, hops=774)
    ),
    "causal-studio": STUDIO,
    "causal-wide": replace(STUDIO, framing=PROFILES["wide"], lookahead=4),
    "unet": UNet(),
    "unet-instrumental": UNet(target="instrumental"),
    "unet-l11": UNet(loss_form="l11"),
    "column-resnet": ColumnResNet(),
    "column-resnet-causal": ColumnResNet(column="last"),
    "column-resnet18": ColumnResNet(
        variant="resnet18",
        width=16,
        stride=12,
        mel_weighting=True,
        power=3.0,
        training=Training(batch=4, hops=280, schedule="cyclic"),
    ),
    "column-dense": ColumnDense(),
    "gru": Gru(),
}

FAMILIES: dict[str, type[System]] = {type(system).family: type(system) for system in PRESETS.values()}


def preset(name: str) -> System:
    """Return the preset `name`; the `UsageError` for an unknown one names the nearest."""
    if name not in PRESETS:
        raise UsageError(
            f"--system {name}: no such preset{suggest(name, PRESETS)}; there are {', '.join(PRESETS)}"
        )
    return PRESETS[name]


def changed(system: System, choices: Iterable[str]) -> System:
    """Return `system` with the options "NAME=VALUE", or "training.NAME=VALUE" for its training.

    Raises `UsageError` for an unknown option or a value of another type.
    """
    for choice in choices:
        name, _, text = choice.partition("=")
        try:
            system = _replaced(system, name.strip().split("."), text.strip())
        except (ValueError, SyntaxError) as error:
            raise UsageError(f"--set {choice}: {error}") from None
    return system


def _replaced(value: Any, path: list[str], text: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(value)}
    if path[0] not in fields:
        raise ValueError(f"no '{path[0]}'{suggest(path[0], fields)}; there are {', '.join(fields)}")
    old = getattr(value, path[0])
    if dataclasses.is_dataclass(old) and len(path) > 1:
        return dataclasses.replace(value, **{path[0]: _replaced(old, path[1:], text)})
    if dataclasses.is_dataclass(old) or len(path) > 1:
        raise ValueError("name one of its fields" if dataclasses.is_dataclass(old) else "it has no fields")
    new = text if isinstance(old, str) else ast.literal_eval(text)
    if isinstance(old, float) and type(new) is int:
        new = float(new)
    if type(new) is not type(old):
        raise ValueError(f"{new!r} has another type than {old!r}")
    return dataclasses.replace(value, **{path[0]: new})


def to_plain(system: System) -> dict[str, Any]:
    """Return a system as plain values, for a checkpoint."""
    return {"family": system.family, "options": dataclasses.asdict(system)}


def from_plain(raw: dict[str, Any]) -> System:
    """Return the system of plain values, as by `to_plain`; `ModelError` for an unknown one."""
    try:
        system: System = _build(FAMILIES[raw["family"]], raw["options"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"a system of another version of train ({error})") from None
    return system


def _build(kind: Any, raw: Any) -> Any:
    """Return a dataclass, or a value of one, from its plain form."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return typing.cast(Any, kind)(**{name: _build(hints[name], value) for name, value in raw.items()})
    if isinstance(raw, list):
        return tuple(_build(None, value) for value in raw)
    return raw
