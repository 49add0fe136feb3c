"""The README and the pages under docs/ agree with the program: commands parse, tables and links are right."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from rtsep.audio import engine, virtual
from rtsep.bench.bars import HOP_BARS
from rtsep.cli.main import COMMANDS as MAIN_COMMANDS
from rtsep.cli.main import build_parser
from rtsep.cli.models import markdown_table as table_of_models
from rtsep.controls import TABLE, markdown_table
from rtsep.model import process
from rtsep.model.catalog import shipped_folder
from rtsep.session.states import ALLOWED
from rtsep.surfaces.midi import process as midi_process
from rtsep.surfaces.presets import parse_preset
from tests.docs.commands import ALL
from tests.docs.pages import LINKED, PAGES, blocks
from train.__main__ import COMMANDS
from train.commandline import parser_of

ROOT = Path(__file__).resolve().parents[1]
MAX_README_LINES = 150

TEXT = "\n".join(PAGES.values())


def commands(program: str) -> list[list[str]]:
    """Return the words after `program` of every command in a shell block, or alone in a cell of a table."""
    found = [command.words[1:] for command in ALL if command.words[0] == program]
    return [list(words) for words in dict.fromkeys(map(tuple, found))]


@pytest.mark.parametrize("words", commands("rtsep"), ids=" ".join)
def test_every_command_of_the_pages_parses(words):
    arguments = build_parser(words[0]).parse_args(words)
    assert arguments.command == words[0]


def train_commands() -> list[list[str]]:
    """Return the words after `python -m train` wherever a page shows them as a block."""
    text = TEXT + LINKED["train/README.md"]
    lines = [line for block in blocks(text, "sh", "") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[3:] for line in lines if line.startswith("python -m train ")]


@pytest.mark.parametrize("words", train_commands(), ids=" ".join)
def test_every_training_command_parses(words):
    parser_of("train", words[0], COMMANDS).parse_args(words[1:])


def test_the_pages_show_every_training_command():
    assert {words[0] for words in train_commands()} == set(COMMANDS)


def test_the_pages_show_every_command():
    assert {words[0] for words in commands("rtsep")} == set(MAIN_COMMANDS)


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
def test_the_readme_runs_as_printed_in_a_new_shell(tmp_path):
    """With the environment that `make live` makes, and nothing of ours on the path before it."""
    venv.create(tmp_path / ".venv", with_pip=False)
    program = tmp_path / ".venv" / "bin" / "rtsep"
    program.write_text('#!/bin/sh\necho "rtsep $*" >> ran\n')
    program.chmod(0o755)
    script = "make() { :; }\n" + "\n".join(blocks(PAGES["README.md"], "sh"))
    run = subprocess.run(
        ["/bin/sh", "-c", script], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")
    printed = [line for text in blocks(PAGES["README.md"], "sh") for line in text.splitlines()]
    assert len((tmp_path / "ran").read_text().splitlines()) == sum(x.startswith("rtsep ") for x in printed)


def test_the_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) <= MAX_README_LINES


def test_the_readme_links_to_every_page():
    shown = set(re.findall(r"\]\((docs/\w[\w-]*\.md)\)", PAGES["README.md"]))
    assert set(PAGES) - {"README.md"} <= shown | {"docs/releasing.md"}  # which CONTRIBUTING links to


def test_every_control_is_in_the_pages():
    for control in TABLE:
        assert f"`--{control.name.replace('_', '-')}`" in PAGES["docs/controls.md"]


def generated(command: str) -> list[str]:
    """Return what the pages show between the marks of `command` and of its end."""
    return re.findall(rf"<!-- {re.escape(command)} -->\n(.*?)<!-- end -->", TEXT, flags=re.DOTALL)


def test_the_table_of_controls_is_the_table():
    shown = generated("python -m rtsep.controls")
    assert shown == [markdown_table()], "paste in what 'python -m rtsep.controls' prints"


def test_the_table_of_models_is_that_of_the_model_files():
    shown = generated("python -m rtsep.cli.models")
    assert shown == [table_of_models()], "paste in what 'python -m rtsep.cli.models' prints"


def test_every_shipped_model_has_its_use_and_the_leak_of_its_card():
    for path in shipped_folder().glob("*.pt"):
        (row,) = re.findall(rf"^\| \[`{path.stem}`\].*$", PAGES["docs/models.md"], flags=re.MULTILINE)
        (leak,) = re.findall(
            r"^\| leak \| [^|]+ \| (-\S+) dB ", path.with_suffix(".md").read_text(), re.MULTILINE
        )
        assert row.endswith(f"| {float(leak):.1f} dB |")


def test_the_bars_of_a_hop_are_those_of_the_benchmark():
    (row,) = [
        line for line in PAGES["docs/benchmarks.md"].splitlines() if line.startswith("| `hop` | `whole`")
    ]
    written = re.findall(r"(\d+) % and (\d+) % with ((?:`\w+`(?:, | and )?)+)", row)
    named = {
        name: (int(p99), int(p999)) for p99, p999, names in written for name in re.findall(r"\w+(?=`)", names)
    }
    assert named == {name: (round(100 * bar.p99), round(100 * bar.p999)) for name, bar in HOP_BARS.items()}
    assert set(named) == {path.stem for path in shipped_folder().glob("*.pt")}


def test_every_example_is_in_the_pages():
    shown = re.findall(r"\]\(\.\./(examples/\w+\.py)\)", PAGES["docs/python.md"])
    assert sorted(shown) == sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*.py"))


def test_the_presets_of_the_pages_are_ones():
    presets = [text for text in blocks(TEXT, "toml") if "program" in text]
    assert presets
    for text in presets:
        preset = parse_preset(text, Path("page.toml"))
        assert preset.program == 5
        assert len(preset.values) == 4


def rows(page: str, first: str) -> list[list[str]]:
    """Return the cells of the table of `page` whose first title is `first`."""
    (table,) = re.findall(rf"^\| {first} \|.*\n((?:\|.*\n)+)", PAGES[page], flags=re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def test_the_table_of_states_is_that_of_the_session():
    shown = {
        state: set(after.split(", ")) - {""} for state, _, after in rows("docs/architecture.md", "state")
    }
    assert shown == {str(state): {str(one) for one in after} for state, after in ALLOWED.items()}


def test_the_table_of_threads_has_the_names_and_priorities_of_the_code():
    sources = "\n".join(path.read_text() for path in (ROOT / "rtsep").rglob("*.py"))
    table = rows("docs/architecture.md", "process")
    names = [name for row in table for name in re.findall(r"`([\w-]+)`", row[1])]
    assert len(names) > 10
    assert [name for name in names if f'"{name}"' not in sources] == []
    shown = {(row[0], row[1].strip("`")): row[3] for row in table}
    assert shown["session", "virtual-device"] == str(virtual.PRIORITY)
    assert shown["session", "hop-loop"] == str(engine.PRIORITY)
    assert shown["model", "main"] == str(process.PRIORITY)
    assert shown["MIDI", "main"] == shown["session", "midi"] == str(midi_process.PRIORITY)


def anchors(text: str) -> set[str]:
    """Return what links may name in a page: its headings, as GitHub turns them into anchors."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", LINKED)
def test_every_link_leads_somewhere(name):
    prose = re.sub(r"^```.*?^```$", "", LINKED[name], flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        page = (ROOT / name).parent / path if path else ROOT / name
        assert page.exists(), f"{name} links to {target}"
        if anchor:
            assert anchor in anchors(page.read_text()), f"{name} links to {target}"
