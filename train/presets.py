"""The systems by name: what `--system` of the command line takes."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from rtsep.errors import ModelError, UsageError, suggest
from train.nets.causal import Causal
from train.nets.column_dense import ColumnDense
from train.nets.column_resnet import ColumnResNet
from train.nets.unet import UNet
from train.system import System, Training

PRESETS: dict[str, System] = {
    "causal": Causal(),  # rtsep's own
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
}

FAMILIES: dict[str, type[System]] = {type(system).family: type(system) for system in PRESETS.values()}


def preset(name: str) -> System:
    """Return the preset `name`; `UsageError` names the nearest one otherwise."""
    if name not in PRESETS:
        raise UsageError(
            f"--system {name}: no such preset{suggest(name, PRESETS)}; there are {', '.join(PRESETS)}"
        )
    return PRESETS[name]


def to_plain(system: System) -> dict[str, Any]:
    """Return what a checkpoint holds of a system: plain values only."""
    return {"family": system.family, "options": dataclasses.asdict(system)}


def from_plain(raw: dict[str, Any]) -> System:
    """Inverse of `to_plain`; `ModelError` for what this version does not know."""
    try:
        system: System = _build(FAMILIES[raw["family"]], raw["options"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"a system this version of train does not know ({error})") from None
    return system


def _build(kind: Any, raw: Any) -> Any:
    """A dataclass (or a value of one) back from its plain form."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return typing.cast(Any, kind)(**{name: _build(hints[name], value) for name, value in raw.items()})
    if isinstance(raw, list):
        return tuple(_build(None, value) for value in raw)
    return raw
