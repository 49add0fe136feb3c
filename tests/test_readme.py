"""The README says what the program does: its commands parse, its table of controls is the table."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rtsep.cli.main import build_parser
from rtsep.controls import TABLE

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def commands(program: str) -> list[list[str]]:
    """Return the words after `program` of every such line in the README's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(f"{program} ")]


@pytest.mark.parametrize("words", commands("rtsep"), ids=" ".join)
def test_every_command_of_the_readme_parses(words):
    arguments = build_parser(words[0]).parse_args(words)
    assert arguments.command == words[0]


def test_the_readme_shows_the_main_commands():
    assert {words[0] for words in commands("rtsep")} == {"live", "file", "devices", "models"}


def test_every_control_is_in_the_readme():
    for control in TABLE:
        assert f"`--{control.name.replace('_', '-')}`" in README
