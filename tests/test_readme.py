"""The README says what the program does: its commands parse, its table of controls is the table."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rtsep.cli.main import COMMANDS as MAIN_COMMANDS
from rtsep.cli.main import build_parser
from rtsep.controls import TABLE, markdown_table
from rtsep.surfaces.presets import parse_preset
from train.__main__ import COMMANDS
from train.commandline import parser_of

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(text: str, *languages: str) -> list[str]:
    """Return the blocks of code of these languages ("": none is named)."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [block for language, block in found if language in languages]


def commands(program: str) -> list[list[str]]:
    """Return the words after `program` of every such line in the README's shell blocks."""
    lines = [line for text in blocks(README, "sh") for line in text.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(f"{program} ")]


@pytest.mark.parametrize("words", commands("rtsep"), ids=" ".join)
def test_every_command_of_the_readme_parses(words):
    arguments = build_parser(words[0]).parse_args(words)
    assert arguments.command == words[0]


def train_commands() -> list[list[str]]:
    """Return the words after `python -m train` wherever either README shows them as a block."""
    text = README + (ROOT / "train" / "README.md").read_text()
    lines = [line for block in blocks(text, "sh", "") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[3:] for line in lines if line.startswith("python -m train ")]


@pytest.mark.parametrize("words", train_commands(), ids=" ".join)
def test_every_training_command_parses(words):
    parser_of("train", words[0]).parse_args(words[1:])


def test_the_readmes_show_every_training_command():
    assert {words[0] for words in train_commands()} == set(COMMANDS)


def test_the_readme_shows_every_command():
    assert {words[0] for words in commands("rtsep")} == set(MAIN_COMMANDS)


def test_every_control_is_in_the_readme():
    for control in TABLE:
        assert f"`--{control.name.replace('_', '-')}`" in README


def test_the_table_of_controls_is_the_table():
    shown = re.findall(r"<!-- python -m rtsep.controls -->\n(.*?)<!-- end -->", README, flags=re.DOTALL)
    assert shown == [markdown_table()], "paste in what 'python -m rtsep.controls' prints"


def test_every_example_is_in_the_readme():
    shown = re.findall(r"\]\((examples/\w+\.py)\)", README)
    assert sorted(shown) == sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*.py"))


def test_the_presets_of_the_readme_are_ones():
    presets = [text for text in blocks(README, "toml") if "program" in text]
    assert presets
    for text in presets:
        preset = parse_preset(text, Path("readme.toml"))
        assert preset.program == 5
        assert len(preset.values) == 4
