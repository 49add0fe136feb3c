"""`rtsep models`: list the models, show one, or check a file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from rtsep.errors import ModelError, UsageError
from rtsep.model.catalog import find_model, model_files, purpose_of, shipped_files
from rtsep.model.known import is_shipped
from rtsep.model.licences import TERMS, sets_by_licence, sets_not_checked, sets_without_licence, terms_of
from rtsep.model.package import ModelPackage, read_package
from rtsep.model.remote import load
from rtsep.terminal import plain_console

MAX_WIDTH = 80
"""Maximum width of the text of `rtsep models NAME`, in columns."""


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.usage = "rtsep models [NAME] [--json] | rtsep models check FILE [--json]"
    parser.add_argument("words", nargs="*", metavar="NAME | check FILE")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """List, show or check, by the arguments."""
    words: list[str] = arguments.words
    if not words:
        return _list(arguments.json)
    if words[0] == "check" and len(words) == 2:
        return _check(find_model(words[1]), arguments.json)
    if len(words) == 1 and words[0] != "check":
        return _show(read_package(find_model(words[0])), arguments.json)
    raise UsageError(
        f"models {' '.join(words)}: not understood; use 'rtsep models', 'rtsep models NAME' or 'rtsep "
        "models check FILE'"
    )


def _summary(package: ModelPackage) -> dict[str, Any]:
    spec = package.spec
    return {
        "name": spec.name,
        "purpose": purpose_of(package.path),
        "file": str(package.path),
        "system": spec.system,
        "latency_samples": spec.algorithmic_latency,
        "latency_ms": _latency_ms(package),
        "rates": list(spec.rates),
        "params": spec.params,
        "mmac_per_hop": round(spec.macs_per_hop / 1e6, 2),
        "metrics": spec.metrics,
        "data": list(spec.data),
        "terms": terms_of(spec),
        "licence": spec.licence,
        "sets_without_licence": sets_without_licence(spec.data),
        "description": spec.description,
        "sha256": package.sha256,
        "shipped": is_shipped(package.sha256),
    }


def _origin(package: ModelPackage) -> str:
    """Return the origin of the file, found by its checksum."""
    if is_shipped(package.sha256):
        return "shipped with rtsep (known by its checksum)"
    return "not shipped with rtsep; its program is checked at every load"


def _latency_ms(package: ModelPackage) -> float:
    return round(1000 * package.spec.algorithmic_latency / package.spec.rates[0], 1)


def _sdr(package: ModelPackage, of: str = "model", figure: str = "mean") -> str:
    """Return the SDR of vocals and accompaniment in dB; `of` is model, mixture or an oracle."""
    scores = [
        package.spec.metrics.get(f"{of}_{target}_sdr_{figure}") for target in ("vocals", "accompaniment")
    ]
    return " / ".join("?" if score is None else f"{score:.2f}" for score in scores)


def _list(as_json: bool) -> int:
    packages, broken = [], []
    for _, path in model_files():
        try:
            packages.append(read_package(path))
        except ModelError as error:
            broken.append(str(error))
    if as_json:
        print(json.dumps({"models": [_summary(package) for package in packages], "broken": broken}))
        return 0
    console = plain_console()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("name", overflow="fold")
    table.add_column("latency", justify="right", no_wrap=True)
    table.add_column("SDR, dB", justify="right", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("MMAC/hop", justify="right", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    table.add_column("sha256", no_wrap=True)
    for package in packages:
        table.add_row(
            package.spec.name,
            f"{_latency_ms(package)} ms",
            _sdr(package),
            f"{package.spec.params:,}",
            f"{package.spec.macs_per_hop / 1e6:.2f}",
            terms_of(package.spec),
            package.sha256[:8],
        )
    console.print(table)
    console.print("SDR: vocals / accompaniment, mean. Full licence: 'rtsep models NAME'")
    for package in packages:
        if purpose := purpose_of(package.path):
            console.print(f"{package.spec.name:<7}{purpose}", markup=False, highlight=False)
    if others := [package.spec.name for package in packages if not is_shipped(package.sha256)]:
        console.print(f"not shipped with rtsep: {', '.join(others)}", highlight=False)
    for line in broken:
        console.print(f"broken: {line}", markup=False)
    return 0


def _show(package: ModelPackage, as_json: bool) -> int:
    if as_json:
        print(json.dumps(_summary(package)))
        return 0
    console = plain_console()
    table = Table.grid(padding=(0, 2, 0, 0))
    for label, text in _rows(package):
        table.add_row(label, Text(text))
    console.print(table, width=min(console.width, MAX_WIDTH))
    return 0


def _rows(package: ModelPackage) -> Iterator[tuple[str, str]]:
    """Yield label and text of each row of `rtsep models NAME`."""
    spec, data = package.spec, package.spec.data
    yield "name", spec.name
    yield "file", str(package.path)
    if purpose := purpose_of(package.path):
        yield "for", purpose
    yield "system", spec.system
    if spec.description:
        yield "training", spec.description
    yield "latency", f"{spec.algorithmic_latency} samples, {_latency_ms(package)} ms at {spec.rates[0]} Hz"
    yield "rates", f"{', '.join(map(str, spec.rates))} Hz"
    yield "parameters", f"{spec.params:,}"
    yield "cost", f"{spec.macs_per_hop / 1e6:.2f} million multiply-accumulates (MMAC) a hop"
    yield "SDR", f"{_sdr(package)} dB (vocals / accompaniment, mean)"
    yield "", f"{_sdr(package, 'mixture')} dB for the unprocessed mixture"
    if "command" in spec.metrics:
        yield "", f"by: {spec.metrics['command']}"
    yield "sha256", package.sha256
    yield "origin", _origin(package)
    yield "licence", terms_of(spec)
    yield "", TERMS[terms_of(spec)]
    if spec.licence:
        yield "", f"Statement in the file: {spec.licence}."
    if missing := sets_without_licence(data):
        yield "", f"Training sets without a stated licence: {', '.join(missing)}."
    if unsure := sets_not_checked(data):
        yield "", f"Training sets whose exact licence was not checked: {', '.join(unsure)}."
    for number, (licence, names) in enumerate(sets_by_licence(data).items()):
        yield "" if number else "trained on", f"{licence}: {', '.join(names)}"


def markdown_table() -> str:
    """Return the shipped models as the Markdown table of the README."""
    packages = [read_package(path) for path in shipped_files()]
    rows = [("model", "latency", "vocals / accompaniment SDR", "parameters", "licence"), ("---",) * 5]
    for package in packages:
        spec = package.spec
        card = f"rtsep/assets/models/{package.path.stem}.md"
        rows.append(
            (
                f"[`{spec.name}`]({card})",
                f"{spec.algorithmic_latency} samples, {_latency_ms(package)} ms",
                f"{_sdr(package)} dB",
                f"{spec.params:,}",
                terms_of(spec),
            )
        )
    rows.append(("no model (unprocessed mixture)", "", f"{_sdr(packages[0], 'mixture')} dB", "", ""))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _check(path: Path, as_json: bool) -> int:
    package = read_package(path)
    model = load(package)
    if as_json:
        print(
            json.dumps(
                {
                    "file": str(path),
                    "ok": True,
                    "golden_error": model.golden_error,
                    "sha256": package.sha256,
                    "shipped": is_shipped(package.sha256),
                }
            )
        )
    else:
        print(
            f"{path}: a {package.spec.system} model '{package.spec.name}', schema {package.spec.schema}; "
            f"{len(package.golden.masks)} golden frames replayed, "
            f"largest difference {model.golden_error:.1e}; "
            f"{_origin(package)}"
        )
    return 0


if __name__ == "__main__":
    print(markdown_table(), end="")
