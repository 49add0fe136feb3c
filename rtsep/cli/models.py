"""`rtsep models`: which models there are, what they cost, whether a file is one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rtsep.errors import ModelError, UsageError
from rtsep.model.catalog import find_model, model_files
from rtsep.model.package import ModelPackage, read_package


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.usage = "rtsep models [NAME] [--json] | rtsep models check FILE [--json]"
    parser.add_argument("words", nargs="*", metavar="NAME | check FILE")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """List, show or check."""
    words: list[str] = arguments.words
    if not words:
        return _list(arguments.json)
    if words[0] == "check" and len(words) == 2:
        return _check(find_model(words[1]), arguments.json)
    if len(words) == 1 and words[0] != "check":
        return _show(read_package(find_model(words[0])), arguments.json)
    raise UsageError(
        f"models {' '.join(words)}: write 'rtsep models', 'rtsep models NAME' or 'rtsep models check FILE'"
    )


def _summary(package: ModelPackage) -> dict[str, Any]:
    spec = package.spec
    return {
        "name": spec.name,
        "file": str(package.path),
        "system": spec.system,
        "latency_samples": spec.latency,
        "latency_ms": round(1000 * spec.latency / spec.rates[0], 1),
        "rates": list(spec.rates),
        "params": spec.params,
        "mmac_per_hop": round(spec.macs_per_hop / 1e6, 2),
        "metrics": spec.metrics,
        "data": list(spec.data),
        "licence": spec.licence,
        "description": spec.description,
        "sha256": package.sha256,
    }


def _list(as_json: bool) -> int:
    rows, broken = [], []
    for _, path in model_files():
        try:
            rows.append(_summary(read_package(path)))
        except ModelError as error:
            broken.append(str(error))
    if as_json:
        print(json.dumps({"models": rows, "broken": broken}))
        return 0
    console = Console()
    table = Table(title="models")
    for title in ("name", "latency", "vocals / acc. SDR", "parameters", "MMAC/hop", "licence", "sha256"):
        table.add_column(title)
    for row in rows:
        metrics = row["metrics"]
        scores = [metrics.get(f"model_{target}_sdr_median") for target in ("vocals", "accompaniment")]
        quality = " / ".join("?" if score is None else f"{score:.2f}" for score in scores) + " dB"
        table.add_row(
            row["name"], f"{row['latency_ms']} ms", quality, f"{row['params']:,}", f"{row['mmac_per_hop']}",
            row["licence"].split(":")[0], row["sha256"][:12],
        )  # fmt: skip
    console.print(table)
    for line in broken:
        console.print(f"broken: {line}", markup=False)
    return 0


def _show(package: ModelPackage, as_json: bool) -> int:
    summary = _summary(package)
    if as_json:
        print(json.dumps(summary))
        return 0
    table = Table(show_header=False)
    for name, value in summary.items():
        text = (
            "\n".join(map(str, value))
            if isinstance(value, list)
            else (json.dumps(value, indent=1) if isinstance(value, dict) else str(value))
        )
        table.add_row(name.replace("_", " "), text)
    Console().print(table)
    return 0


def _check(path: Path, as_json: bool) -> int:
    from rtsep.model.loader import Stepper, take_this_thread  # brings torch: only where it is needed

    take_this_thread()
    package = read_package(path)
    stepper = Stepper(package)
    if as_json:
        print(
            json.dumps(
                {
                    "file": str(path),
                    "ok": True,
                    "golden_error": stepper.golden_error,
                    "sha256": package.sha256,
                }
            )
        )
    else:
        print(
            f"{path}: a {package.spec.system} model '{package.spec.name}', schema {package.spec.schema}; "
            f"{len(package.golden.masks)} golden frames replay to {stepper.golden_error:.1e}"
        )
    return 0
