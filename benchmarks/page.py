"""`page`: RESULTS.md and its figures from the JSON files of the benchmarks; it measures nothing.

Missing results are listed, with the command that measures them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import COST, QUALITY, draw_cost, draw_quality
from benchmarks.plan import BENCHES, DATA, Bench
from benchmarks.verdicts import verdicts
from rtsep.bench.result import Column, Row
from rtsep.errors import InputFileError
from rtsep.model.catalog import shipped_folder
from rtsep.model.package import read_package
from train.data.cache import RATE, whole_file
from train.markdown import table

FOLDER = Path(__file__).parent
PAGE, RESULTS, FIGURES = "RESULTS.md", "results", "figures"

Content = dict[str, Any]
"""Result of `rtsep.bench.result.Result.to_json`."""


def write_page(folder: Path = FOLDER) -> Path:
    """Write the page of the results in `folder`; return its path."""
    found = read_results(folder / RESULTS)
    if "peers" in found:
        rows = found["peers"]["rows"]
        draw_quality(rows, folder / FIGURES / QUALITY)
        draw_cost(rows, folder / FIGURES / COST)
    path = folder / PAGE
    with whole_file(path) as file:
        file.write(page(found, shipped()).encode())
    return path


def read_results(folder: Path) -> dict[str, Content]:
    """Return the results in `folder` by benchmark; raise `InputFileError` for an invalid file.

    An empty file belongs to an unfinished benchmark.
    """
    found = {}
    for bench in BENCHES:
        path = folder / f"{bench.name}.json"
        if not path.exists():
            continue
        try:
            text = path.read_text()
            if not text.strip():  # the shell creates the file before the command measures, or fails
                continue
            content = json.loads(text)
            missing = {"bench", "title", "command", "machine", "settings", "rows", "notes"} - content.keys()
        except (OSError, ValueError, AttributeError) as error:
            raise InputFileError(f"{path}: cannot be read as JSON ({error}); measure it again") from None
        if missing or not content["rows"]:
            what = ", ".join(sorted(missing)) or "rows"
            raise InputFileError(f"{path}: not the result of a benchmark (no {what}); measure it again")
        found[bench.name] = content
    return found


def shipped() -> dict[str, str]:
    """Return the checksums of the shipped models, by name."""
    packages = map(read_package, sorted(shipped_folder().glob("*.pt")))
    return {package.spec.name: package.sha256 for package in packages}


def page(found: Mapping[str, Content], models: Mapping[str, str]) -> str:
    """Return the page of the results `found`, by benchmark; `models`: checksums of the shipped ones."""
    parts = [
        "<!-- python -m benchmarks page: made from results/*.json; changes by hand are lost -->",
        "# Benchmarks: cost and quality",
        "All live measurements are paced like live audio, and no outlier is removed. The command above each "
        f"table repeats its measurement. `python -m benchmarks all --data {DATA}` repeats all of them; "
        "`python -m benchmarks page` only writes this page. Absolute times depend on the machine and on its "
        "other load; ratios depend on them less.",
        "## At a glance",
        table(("aim", "measured", "", "from"), list(verdicts(found))),
    ]
    for bench in BENCHES:
        parts.append(f"## {bench.title}")
        parts.append(bench.about)
        parts += _measured(bench, found[bench.name], models) if bench.name in found else _missing(bench)
    return "\n\n".join(parts) + "\n"


def _missing(bench: Bench) -> Iterator[str]:
    where = " It needs a machine with a CUDA device." if bench.cuda else ""
    yield f"**Not measured.**{where} This command writes `results/{bench.name}.json`:"
    yield f"```sh\n{bench.command} {_json_words(bench)}\n```"


def _json_words(bench: Bench) -> str:
    file = f"benchmarks/results/{bench.name}.json"
    return f"--json > {file}" if bench.prints else f"--json {file}"


def _measured(bench: Bench, content: Content, models: Mapping[str, str]) -> Iterator[str]:
    if bench.name == "peers":
        yield f"![vocals and accompaniment SDR against latency]({FIGURES}/{QUALITY})"
        yield f"![share of one core against latency]({FIGURES}/{COST})"
    yield f"```sh\n{content['command']}\n```"
    yield f"{_sentence(content['title'])} {_machine(content['machine'])}"
    shown, folded = split(bench, content["rows"])
    yield _table(bench.columns, shown)
    if folded:
        yield f"<details><summary>{len(folded)} further rows</summary>"
        yield _table(bench.columns, folded)
        yield "</details>"
    lines = [*content["notes"], *_outdated(content, models)]
    if lines:
        yield "\n".join(f"- {line}" for line in lines)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def split(bench: Bench, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the visible rows, and the folded rows: those at other rates and blocks than each model's own."""

    def own(row: Row) -> bool:
        return row["rate"] == RATE and row["block"] == round(row["hop_us"] * row["rate"] / 1e6)

    if not bench.name.startswith("hop") or not any(map(own, rows)):
        return list(rows), []
    return [row for row in rows if own(row)], [row for row in rows if not own(row)]


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    # As in `Result.show`: common values are stated once, and missing ones get no column.
    texts_of = [(column, {column.text(row) for row in rows}) for column in columns]
    same = [column for column, texts in texts_of if column.setting and len(texts) == 1 and len(rows) > 1]
    empty = [column for column, texts in texts_of if texts == {"-"}]
    left = [column for column in columns if column not in (*same, *empty)]
    given = ", ".join(f"{column.title} {column.text(rows[0])}" for column in same if column not in empty)
    body = table([column.title for column in left], [[column.text(row) for column in left] for row in rows])
    return f"{_sentence(given)}\n\n{body}" if given else body


def _machine(about: Row) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    load = f", load {about['load'][0]:.2f} at the end" if about.get("load") else ""
    gpu = f", {about['gpu']}" if about.get("gpu") else ""
    return (
        f"{about['processor']}, {about['cores']} cores{gpu}{load}; {about['system']}; "
        f"Python {about['python']}, {versions}."
    )


def _outdated(content: Content, models: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each model that has changed since its measurement."""
    changed: dict[str, None] = {}
    for about in (content["settings"], *content["rows"]):
        name = about.get("model", about.get("system"))
        sha256 = about.get("model_sha256")
        if sha256 and name in models and models[name] != sha256:
            changed[name] = None
    if changed:
        named = ", ".join(f"'{name}'" for name in changed)
        have = "model {} has" if len(changed) == 1 else "models {} have"
        yield f"the {have.format(named)} changed since this measurement; the command measures again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, metavar="FOLDER",
        help=f"folder: {RESULTS}/*.json are read, {PAGE} and {FIGURES} are written ({FOLDER.name})",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    if not (options.folder / RESULTS).is_dir():
        raise InputFileError(
            f"{options.folder / RESULTS}: no such folder; 'python -m benchmarks all' measures everything"
        )
    print(write_page(options.folder))
