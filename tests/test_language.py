"""Docstrings and help texts keep to the plain rules of docs/style.md that a program can check."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_WORDS = 40

FRAGMENT = re.compile(r"(Whose|Of|Where|Who|What|How|Why|Whether|That|Which) ")
"""A docstring that begins like this is a clause that needs the name above it."""

WORDS = re.compile(
    r"\b(hears?|heard|says|told|tells|knows|wants|anew|unsaid|whoever|in its stead|where there is none)\b",
    re.IGNORECASE,
)
"""Verbs of a person for a machine, and words that docs/style.md replaces."""

CODE = re.compile(r"`[^`]*`|\"[^\"\n]*\"|'[^'\n]* [^'\n]*'|^(?: {4,}|\|).*$", re.MULTILINE)
"""Code, quoted text, indented examples and tables are not prose."""


def faults(text: str) -> list[str]:
    """Return what is wrong with one docstring or help text."""
    prose = CODE.sub("x", text)
    found = [f"begins with '{match[1]}'"] if (match := FRAGMENT.match(prose)) else []
    found += [f"'{match[0]}'" for match in WORDS.finditer(prose)]
    for sentence in re.split(r"[.!?:;](?:\s|$)|\n\n", prose):
        if len(words := sentence.split()) > MAX_WORDS:
            found.append(f"{len(words)} words in a sentence: {' '.join(words[:6])} ...")
    return found


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring (of constants, too) and help text in a file."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        for statement in (
            getattr(node, "body", None) or () if not isinstance(node, ast.Lambda | ast.IfExp) else ()
        ):
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, "\n\n".join(_unindented(value.value))
        if isinstance(node, ast.keyword) and node.arg == "help":
            parts = [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
            yield node.value.lineno, " ".join(part for part in parts if isinstance(part, str))


def _unindented(docstring: str) -> list[str]:
    first, *rest = docstring.split("\n\n")
    indents = [len(part) - len(part.lstrip(" ")) for part in rest if part.strip()]
    return [first, *(re.sub(rf"^ {{{min(indents)}}}", "", part, flags=re.MULTILINE) for part in rest)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Whose times say when the next call is due.", "begins with 'Whose'"),
        ("The model hears the mid.", "'hears'"),
        ("Set anew.", "'anew'"),
        ("A " + "very " * MAX_WORDS + "long sentence.", f"{MAX_WORDS + 3} words"),
    ],
)
def test_the_check_finds_a_fault(text, fault):
    assert any(fault in each for each in faults(text))


def test_code_and_quotes_are_no_prose():
    assert not faults('Return `heard`, "what it says" and 42 frames.\n\n    heard = told')


@pytest.mark.parametrize("folder", ["rtsep", "benchmarks", "train"])
def test_docstrings_and_help_are_plain_english(folder):
    found = [
        f"{path.relative_to(ROOT)}:{line}: {', '.join(wrong)}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, text in texts(path)
        if (wrong := faults(text))
    ]
    assert not found, "see docs/style.md:\n" + "\n".join(found)
