"""The README says what the program does: its commands parse, its table of controls is the table."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rtsep.cli.main import build_parser
from rtsep.controls import TABLE
from train.__main__ import COMMANDS
from train.__main__ import parser_of as train_parser

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def commands(program: str) -> list[list[str]]:
    """Return the words after `program` of every such line in the README's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(f"{program} ")]


@pytest.mark.parametrize("words", commands("rtsep"), ids=" ".join)
def test_every_command_of_the_readme_parses(words):
    arguments = build_parser(words[0]).parse_args(words)
    assert arguments.command == words[0]


def train_commands() -> list[list[str]]:
    """Return the words after `python -m train` wherever either README shows them as a block."""
    text = README + (ROOT / "train" / "README.md").read_text()
    lines = [
        line
        for block in re.findall(r"```(?:sh)?\n(.*?)```", text, flags=re.DOTALL)
        for line in block.splitlines()
    ]
    return [shlex.split(line, comments=True)[3:] for line in lines if line.startswith("python -m train ")]


@pytest.mark.parametrize("words", train_commands(), ids=" ".join)
def test_every_training_command_parses(words):
    train_parser(words[0]).parse_args(words[1:])


def test_the_readmes_show_every_training_command():
    assert {words[0] for words in train_commands()} == set(COMMANDS)


def test_the_readme_shows_the_main_commands():
    assert {words[0] for words in commands("rtsep")} == {"live", "file", "devices", "models"}


def test_every_control_is_in_the_readme():
    for control in TABLE:
        assert f"`--{control.name.replace('_', '-')}`" in README
