"""`rtsep bench roundtrip`: how late the sound really is, against the latency that is declared.

A signal goes through a live engine, see `rtsep.bench.signal_paths`, and correlation finds it in each feed.
It is played twice: once separated, where the stems must add up to it, and once bypassed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.engine import StreamFormat
from rtsep.bench.arrival import Arrival, clearest, sequences
from rtsep.bench.playing import notify
from rtsep.bench.result import Column, Result, Row, machine
from rtsep.bench.signal_paths import SignalPath, Take, open_path
from rtsep.compute import add_compute
from rtsep.dsp.router import FEEDS
from rtsep.errors import DeviceError, UsageError
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import read_package
from rtsep.session.options import VIRTUAL, LiveOptions, named_as_options

LEVEL_DB = -12.0
QUIETEST_DB = -60.0
ATTEMPTS = 12
"""Maximum number of takes; one of them must be without a lost frame."""

EXACT = 2e-7
"""Maximum error: instrumental = mix - vocals is rounded once, and its sum with vocals once."""

SUM, DRY, DEVICE = "both stems", "bypassed", "device alone"

COLUMNS = (
    Column("way", "through", setting=True),
    Column("rate", "rate", setting=True, unit="Hz"),
    Column("block", "block", setting=True),
    Column("feed", "feed"),
    Column("declared", "declared"),
    Column("measured", "measured"),
    Column("difference", "off by", "{:+d}"),
    Column("ms", "ms", "{:.2f}"),
    Column("clear", "clear", "{:.1f}"),
    Column("level_db", "dB", "{:.1f}"),
    Column("error", "error", "{:.1e}"),
)


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--in", dest="input", metavar="DEVICE", help="input that is connected to --out by a cable"
    )
    parser.add_argument(
        "--out",
        metavar=f"DEVICE|{VIRTUAL}",
        help="output; without these two, the running JACK server or else the virtual device",
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|PATH", help="model (%(default)s)")
    add_compute(parser, "processor that runs the model")
    parser.add_argument("--rate", type=int, metavar="HZ", help="sample rate (the device's)")
    parser.add_argument(
        "--block",
        type=int,
        metavar="FRAMES",
        help="frames per block (256; a JACK server uses its own block size)",
    )
    parser.add_argument("--slack", type=int, metavar="FRAMES", help="as for 'rtsep live'")
    parser.add_argument(
        "--level", type=float, default=LEVEL_DB, metavar="DB", help="level of the signal (%(default)g)"
    )


def run(arguments: argparse.Namespace) -> Result:
    """Send the signal through the engine, separated and bypassed, and report its latency."""
    _check(arguments)
    package = read_package(find_model(arguments.model))
    signal = sequences(arguments.level)
    with open_path(arguments, package, signal) as path:
        notify(f"through the {path.name}, model {package.spec.name}; {path.latency.line()}")
        rows, notes = measure(path, signal)
    settings = {
        "model": package.spec.name, "model_sha256": package.sha256, "device": arguments.compute,
        "slack": arguments.slack, "level_db": arguments.level, "signal_frames": len(signal),
    }  # fmt: skip
    title = f"from input to output with the model '{package.spec.name}', in samples"
    notes = [*path.notes, *notes]
    return Result(
        bench="roundtrip",
        title=title,
        columns=COLUMNS,
        rows=rows,
        settings=settings,
        notes=notes,
        machine=machine(arguments.compute),
    )


def measure(path: SignalPath, signal: NDArray[np.float32]) -> tuple[list[Row], list[str]]:
    """Return the rows and notes of a separated and a bypassed take; raise `DeviceError` for no signal."""
    separated, bypassed = (_clean(path, bypass) for bypass in (False, True))
    latency, format = path.latency, path.format
    feeds = _feeds(separated.played, format)
    if {"vocals", "instrumental"} <= feeds.keys():
        feeds[SUM] = feeds["vocals"] + feeds["instrumental"]
    # One feed carries the dry signal, so that the feeds also add up under bypass.
    dry = np.sum(list(_feeds(bypassed.played, format).values()), axis=0)
    looked_for = [(name, latency.total, sound, separated) for name, sound in feeds.items()]
    looked_for.append((DRY, latency.total, dry, bypassed))
    if bypassed.captured is not None:
        looked_for.insert(0, (DEVICE, format.hardware, bypassed.captured, bypassed))
    rows, notes = [], []
    for name, declared, sound, take in looked_for:
        sent, came = clearest(signal, take.reference), clearest(signal, sound)
        if not sent.found:
            raise DeviceError(f"the signal did not get on its way through the {path.name}; try again")
        row: Row = {
            "way": path.name, "rate": format.out_rate, "block": format.out_block, "feed": name,
            "declared": round(declared * format.out_rate / format.rate),
        }  # fmt: skip
        rows.append(row)
        if not came.found:
            if name in (DRY, DEVICE):
                raise DeviceError(_nothing_came(path, float(np.abs(sound).max(initial=0))))
            notes.append(f"{name}: the model leaves too little of the signal to find it there")
            continue
        row |= _figures(row["declared"], sent, came, format.out_rate)
        if path.exact and name in (SUM, DRY):
            row["error"] = _error(take.reference, sent, sound, came, len(signal))
        if came.inverted:
            notes.append(f"{name}: upside down; a cable or the card turns the polarity")
    return rows, [*notes, *_in_words(rows, path)]


def _figures(declared: int, sent: Arrival, came: Arrival, rate: int) -> Row:
    measured = came.frame - sent.frame
    return {
        "measured": measured,
        "difference": measured - declared,
        "ms": round(1000.0 * measured / rate, 3),
        "clear": round(came.clear, 1),
        "level_db": round(came.level_db - sent.level_db, 1),
    }


def _error(
    reference: NDArray[np.float32], sent: Arrival, sound: NDArray[np.float32], came: Arrival, frames: int
) -> float:
    """Return the largest difference between received and sent signal, at the measured lag."""
    channels = min(reference.shape[1], sound.shape[1])
    wanted = reference[sent.frame : sent.frame + frames, :channels]
    return float(np.abs(sound[came.frame : came.frame + frames, :channels] - wanted).max())


def _in_words(rows: list[Row], path: SignalPath) -> Iterator[str]:
    by_feed = {row["feed"]: row for row in rows if "measured" in row}
    surest = [by_feed[name] for name in (SUM, DRY) if name in by_feed]
    if all(row["difference"] == 0 for row in surest):
        yield "measured = declared, to the sample"
    elif DEVICE in by_feed:
        inside = by_feed[DRY]["measured"] - by_feed[DEVICE]["measured"]
        declared = by_feed[DRY]["declared"] - by_feed[DEVICE]["declared"]
        agrees = "as declared" if inside == declared else f"declared are {declared}"
        yield (
            f"the engine takes {inside} samples, {agrees}; the device takes {by_feed[DEVICE]['measured']}, "
            f"and reports {by_feed[DEVICE]['declared']}"
        )
    else:
        yield f"measured and declared differ by {surest[-1]['difference']:+d} samples"
    for row in surest:
        if row.get("error", 0.0) > EXACT:
            yield f"{row['feed']}: not the signal that went in, but {row['error']:.1e} off it"


def _nothing_came(path: SignalPath, peak: float) -> str:
    if path.exact:
        return f"no signal came through the {path.name} (its peak is {peak:.1e}); try again"
    return (
        f"no signal came back through the {path.name} (the input's peak is {peak:.1e}): connect output and "
        "input with a cable, turn both up, or give a higher --level"
    )


def _clean(path: SignalPath, bypass: bool) -> Take:
    lost = []
    for _ in range(ATTEMPTS):
        take = path.take(bypass)
        if take.lost == 0:
            return take
        lost.append(take.lost)
    raise DeviceError(
        f"frames were lost in each of {ATTEMPTS} takes ({', '.join(map(str, lost))} times): close other "
        "programs, or choose a longer block (on a JACK server, a longer period)"
    )


def _feeds(played: NDArray[np.float32], format: StreamFormat) -> dict[str, NDArray[np.float32]]:
    """Return the outputs by feed, [frames, channels] each."""
    places = {entry: device for device, entry in reversed(list(enumerate(format.out_map))) if entry >= 0}
    feeds = {}
    for number, name in enumerate(FEEDS):
        found = [
            places[e] for e in range(number * format.channels, (number + 1) * format.channels) if e in places
        ]
        if found:
            feeds[name] = played[:, found]
    return feeds


def _check(arguments: argparse.Namespace) -> None:
    with named_as_options():
        LiveOptions(rate=arguments.rate, block=arguments.block, slack=arguments.slack)
    if not QUIETEST_DB <= arguments.level <= 0:
        raise UsageError(f"--level {arguments.level:g}: {QUIETEST_DB:g} to 0 dB, 0 being full scale")
