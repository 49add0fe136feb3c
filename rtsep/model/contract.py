"""The model contract: the interface of a model file, and its frozen description.

A model is a program with two methods; its spec names the form of the program (default: TorchScript):

    step(column, state) -> mask      column [channels, bins, 2] float32 (real, imaginary)
                                     state  [state_size] float32, advanced in place, zeros at the start
                                     mask   [channels, bins] float32 in 0..1, share of the voice
    offline(columns) -> masks        columns [steps, channels, bins, 2], masks [steps, channels, bins];
                                     equal to `step` from a zero state

Everything that outlives a step is in `state`: a loaded program serves any number of streams in turn. Its
workspace, including the mask, may be its own memory: only one thread at a time may call `step`, and a mask
must be used or copied before the next step.

A column is the spectrum of one hop as computed by `rtsep.dsp`: scaled by `window_pair`, with channels as in
`stereo`. The mask of step t belongs to the column of step t - lookahead_hops. A mask of one channel applies
to both mid and side.
"""

from __future__ import annotations

import dataclasses
import json
import math
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from rtsep.dsp.windows import Framing
from rtsep.errors import ModelError, UsageError, suggest, without_controls

SCHEMA = 1

TORCHSCRIPT = "torchscript"
"""Default form of a program. It is not in the spec, because older versions of rtsep do not know the entry."""

MAX_N_FFT, MAX_STATE, MAX_RATES = 1 << 16, 1 << 26, 64
MIN_RATE, MAX_RATE = 4000, 1_000_000  # Hz; the filter of a conversion is longer, the lower the rate
MAX_LATENCY = 1 << 22  # samples
MAX_LATENCY_S = 16
MAX_LOOKAHEAD_BYTES = 64 << 20  # of columns that wait for their masks
MAX_TEXT = 20_000  # characters
MAX_NUMBER = 1 << 53
MAX_SHOWN = 100  # characters of a file's text in a message

STEREO_FORMS = ("left-right", "mid-side")
"""`mid-side` columns are ((l + r) / 2, (l - r) / 2)."""

BAND_ABOVE_RULES = ("instrumental", "follow")
"""Target of the band above the model's rate on a device with a higher rate: `instrumental` leaves it there;
`follow` gives it to the vocals by the mean of the played mask over the model's top octave."""


@dataclass(frozen=True)
class ModelSpec:
    """Properties fixed by training. Settings of the player are in `rtsep.controls`."""

    name: str
    system: str  # architecture family, as in train/: "causal", "unet", ...
    n_fft: int
    synthesis: int
    hop: int
    state_size: int  # count of floats
    rates: tuple[int, ...] = (44100, 48000)  # Hz, supported without conversion
    channels: int = 2  # of the column and the mask
    stereo: str = "mid-side"
    lookahead_hops: int = 0
    band_above: str = "instrumental"
    context_hops: int | None = None  # past columns a mask depends on; None: recurrent, all of them
    targets: tuple[str, ...] = ("vocals",)
    params: int = 0
    macs_per_hop: int = 0
    # measurements, with the commands that produced them
    metrics: dict[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = ()  # training sets with their licences
    licence: str = ""
    description: str = ""
    form: str = TORCHSCRIPT  # form of the program: a key of `rtsep.model.loader.FORMS`
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ModelError(
                f"model schema {self.schema} is not supported by this rtsep ({SCHEMA} is); export the "
                "model again"
            )
        if not self.rates or min(self.rates) <= 0:
            raise ModelError(f"model spec: rates {_shown(list(self.rates))} are not sample rates")
        self._check_sizes()
        try:
            _ = self.framing
        except UsageError as error:
            raise ModelError(f"model spec: {error}") from None
        if self.stereo not in STEREO_FORMS:
            raise ModelError(
                f"model spec: stereo '{_shown(self.stereo)}' must be one of {', '.join(STEREO_FORMS)}"
            )
        if self.channels not in (1, 2):
            raise ModelError(f"model spec: {_short(self.channels)} channels; only 1 or 2 are supported")
        if self.channels == 1 and self.stereo != "mid-side":
            raise ModelError(
                "model spec: a model of one channel gets the mid signal: stereo must be 'mid-side'"
            )
        if self.band_above not in BAND_ABOVE_RULES:
            raise ModelError(
                f"model spec: band_above '{_shown(self.band_above)}' must be one of "
                f"{', '.join(BAND_ABOVE_RULES)}"
            )
        if self.targets != ("vocals",):
            raise ModelError(
                f"model spec: targets {_shown(list(self.targets))}; only ['vocals'] is supported"
            )
        self._check_entries()

    def _check_sizes(self) -> None:
        """Raise `ModelError` for implausible sizes, because all users of a model allocate memory by them."""
        if self.state_size < 0 or self.lookahead_hops < 0:
            raise ModelError("model spec: state_size and lookahead_hops cannot be negative")
        lowest = min(self.rates)
        for what, value, min_value, max_value in (
            ("n_fft", self.n_fft, 0, MAX_N_FFT),
            ("synthesis", self.synthesis, 0, MAX_N_FFT),
            ("hop", self.hop, 0, MAX_N_FFT),
            ("state_size", self.state_size, 0, MAX_STATE),
            ("rate", lowest, MIN_RATE, MAX_RATE),
            ("rate", max(self.rates), MIN_RATE, MAX_RATE),
            ("number of rates", len(self.rates), 1, MAX_RATES),
            ("algorithmic latency", self.algorithmic_latency, 0, min(MAX_LATENCY, MAX_LATENCY_S * lowest)),
            ("bytes of look-ahead", self._lookahead_bytes, 0, MAX_LOOKAHEAD_BYTES),
        ):
            if value < min_value:
                raise ModelError(f"model spec: {what} {_short(value)}; the minimum is {min_value}")
            if value > max_value:
                raise ModelError(f"model spec: {what} {_short(value)}; the maximum is {max_value}")

    def _check_entries(self) -> None:
        """Raise `ModelError` for text and numbers that no file, socket or screen can take."""
        for name, value in dataclasses.asdict(self).items():
            if fault := _fault_of(value):
                raise ModelError(f"model spec: entry '{name}' {fault}")
        for name, value in self.metrics.items():
            if name.endswith(("_mean", "_median")) and not isinstance(value, int | float | None):
                raise ModelError(f"model spec: entry 'metrics': '{_shown(name)}' is not a number")

    @property
    def framing(self) -> Framing:
        """Return the STFT of this model."""
        return Framing(self.n_fft, self.synthesis, self.hop)

    @property
    def bins(self) -> int:
        """Return the number of bins of a column."""
        return self.n_fft // 2 + 1

    @property
    def algorithmic_latency(self) -> int:
        """Return the samples from input to output at the model's rate, including the filling of a hop."""
        return self.synthesis + self.lookahead_hops * self.hop

    @property
    def _lookahead_bytes(self) -> int:
        """Return the bytes of the columns of two channels that a stream keeps for their masks."""
        return (self.lookahead_hops + 1) * 2 * self.bins * 8

    def to_json(self) -> str:
        """Return the spec in the form of `spec.json`."""
        entries = dataclasses.asdict(self)
        if self.form == TORCHSCRIPT:
            del entries["form"]
        return json.dumps(entries, indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelSpec:
        """Parse `spec.json` strictly: unknown, missing and mistyped entries raise `ModelError`."""
        try:
            raw = json.loads(text, parse_constant=lambda _: None)  # NaN: a score that is not known
        except (ValueError, RecursionError) as error:
            raise ModelError(f"model spec is not JSON: {error}") from None
        if not isinstance(raw, dict):
            raise ModelError("model spec is not a JSON object")
        if raw.get("schema") != SCHEMA:  # before the fields: a later schema may have others
            given = _shown(raw.get("schema"))
            raise ModelError(
                f"model schema {given} is not supported by this rtsep ({SCHEMA} is); export the model again"
            )
        known = {f.name: f for f in dataclasses.fields(cls)}
        for key in raw:
            if key not in known:
                raise ModelError(
                    f"model spec: unknown entry '{_shown(key)}'{suggest(key[:MAX_SHOWN], known)}"
                )
        for name, f in known.items():
            if (
                name not in raw
                and f.default is dataclasses.MISSING
                and f.default_factory is dataclasses.MISSING
            ):
                raise ModelError(f"model spec: entry '{name}' is missing")
        for name, value in raw.items():
            _check_type(name, value, str(known[name].type))
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        return cls(**fields)


def _fault_of(value: object) -> str:
    """Return the fault in a value of a spec, at any depth; "" if there is none."""
    rest = [value]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            rest += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            rest += value
        elif isinstance(value, str):
            if len(value) > MAX_TEXT:
                return f"has {len(value):,} characters; at most {MAX_TEXT:,} are accepted"
            categories = {unicodedata.category(c) for c in value if c != "\n"}
            if "Cc" in categories:
                return "contains control characters"
            if "Cs" in categories:  # half a character: no file, socket or screen can take it
                return "is not valid Unicode"
        elif isinstance(value, float) and not math.isfinite(value):  # not a number of JSON
            return "contains a number that is infinite or NaN"
        elif isinstance(value, int) and abs(value) > MAX_NUMBER:
            return f"has the number {_short(value)}; at most {MAX_NUMBER} is accepted"
    return ""


def _short(number: int) -> str:
    return str(number) if abs(number) <= MAX_NUMBER else f"of {number.bit_length()} bits"


def _shown(value: object) -> str:
    """Return a value of a file for a line: shortened, without control characters."""
    text = str(value)
    cut = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    return without_controls(cut)


_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "int | None": (int, type(None)),
    "tuple[int, ...]": (list,),
    "tuple[str, ...]": (list,),
    "dict[str, Any]": (dict,),
}


def _check_type(name: str, value: object, annotation: str) -> None:
    allowed = _JSON_TYPES[annotation]
    item: type | None = {"tuple[int, ...]": int, "tuple[str, ...]": str}.get(annotation)
    wrong = not isinstance(value, allowed) or isinstance(value, bool)
    if not wrong and item is not None and isinstance(value, list):
        wrong = not all(isinstance(v, item) and not isinstance(v, bool) for v in value)
    if wrong:
        raise ModelError(f"model spec: entry '{name}' is {_shown(repr(value))}, expected {annotation}")
