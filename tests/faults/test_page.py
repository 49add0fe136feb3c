"""docs/faults.md has a row for each fault of the table; it and docs/live.md quote messages of the code."""

from __future__ import annotations

import ast
import errno
import functools
import os
import re

import pytest

from tests.conftest import ROOT
from tests.faults.table import FAULTS, PROVEN

PAGE = (ROOT / "docs" / "faults.md").read_text()
ROWS = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \| [^|]+ \|$", PAGE, flags=re.MULTILINE)
LIVE = (
    (ROOT / "docs" / "live.md").read_text().partition("## What to do about faults")[2].partition("\n## ")[0]
)
QUOTED = re.findall("`([^`]+)`", "".join(cell for _, cell in ROWS)) + re.findall("`([0-9][^`]+)`", LIVE)
QUOTED += [line for line in re.findall(r"^\| ([^|]+) \|", LIVE, flags=re.MULTILINE) if " " in line]
EXAMPLES, SHORT = {"box", "takes", "masks"}, {"s", "try", "or"}
"""Values in the quoted messages: a device, a folder, a plural; words too short to be compared."""

MIN_WORDS, MIN_LETTERS = 3, 4
"""Shortest part of a text of the code that counts; shortest whole text that counts."""


def test_the_page_has_the_rows_of_the_table():
    shown = [row for row, _ in ROWS if row != "fault" and not set(row) <= {"-"}]
    named = [fault.name for fault in FAULTS if fault.name != "nothing at all"] + list(PROVEN)
    assert sorted(shown) == sorted(named)
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("test", sorted({test for tests in PROVEN.values() for test in tests}))
def test_what_is_called_proven_is_tested(test):
    path, _, name = test.partition("::")
    functions = [
        node for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    assert name in {function.name for function in functions}


def words(text: str) -> str:
    """Return the words of `text` without numbers and punctuation, each between two spaces."""
    return f" {' '.join(re.findall(r'[A-Za-z][A-Za-z-]*', text))} "


@functools.cache
def texts_of_the_code() -> frozenset[str]:
    """Return the words of all strings in rtsep but docstrings; a value in an f-string separates two texts."""
    found = {words(os.strerror(number)) for number in errno.errorcode}
    for path in (ROOT / "rtsep").rglob("*.py"):
        tree = ast.parse(path.read_bytes())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                found.add(words(node.value))
    return frozenset(found)


def unknown(message: str) -> str:
    """Return the part of a quoted message that no text of the code contains; "..." stands for any text."""
    everything = "\n".join(texts_of_the_code())
    for fragment in re.sub(r"'[^']*'", "", message).split("..."):
        left = [word for word in words(fragment).split() if word not in EXAMPLES]
        while left:
            for count in range(len(left), 0, -1):
                part = " ".join(left[:count])
                whole = f" {part} " in texts_of_the_code() and len(part) >= MIN_LETTERS
                if part in SHORT or whole or (count >= MIN_WORDS and f" {part} " in everything):
                    left = left[count:]
                    break
            else:
                return " ".join(left)
    return ""


@pytest.mark.parametrize("message", sorted(set(QUOTED)))
def test_the_code_can_print_each_message_of_the_pages(message):
    if " " in message:
        assert not unknown(message), "no text of rtsep has these words"
    else:
        assert message in names_of_the_code()


@functools.cache
def names_of_the_code() -> frozenset[str]:
    """Return all strings and names of functions and attributes in rtsep."""
    found = set()
    for path in (ROOT / "rtsep").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.FunctionDef):
                found.add(node.name)
    return frozenset(found)


@pytest.mark.parametrize(
    ("message", "part"),
    [
        ("model 'live' gave up after 1.5 s: the dry signal plays until it is back", "gave up"),
        ("recording stopped: ...; 12.3 s went missing in takes", "went missing"),
    ],
)
def test_a_message_that_the_code_cannot_print_is_found(message, part):
    assert part in unknown(message)
