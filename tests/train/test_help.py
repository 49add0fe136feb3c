"""The help of the trainer's commands fits terminals of 80 columns."""

from __future__ import annotations

import argparse

import pytest

from train.__main__ import COMMANDS, main
from train.commandline import ParagraphFormatter, parser_of


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained_within_80_columns(name):
    parser = parser_of("train", name, COMMANDS)
    assert max(map(len, parser.format_help().splitlines())) <= 80
    for action in parser._actions:
        text = (action.help or "").replace("(%(default)s)", "").strip()
        assert text, f"{name} {'/'.join(action.option_strings)} has no help but a default"


def test_the_overview_lists_every_command_within_80_columns(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[-len(COMMANDS) :]] == list(COMMANDS)


def test_the_paragraphs_of_a_description_stay_apart():
    parser = argparse.ArgumentParser(
        "x", description="One\nline.\n\nAnother.", formatter_class=ParagraphFormatter
    )
    assert "One line.\n\nAnother.\n" in parser.format_help()
