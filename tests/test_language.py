"""Docstrings, help, comments and messages keep to the rules of docs/style.md that a program can check."""

from __future__ import annotations

import ast
import re
import tokenize
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

DIRECTIVE = re.compile(r"#\s*(noqa|type:|pragma|fmt)")

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


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every comment; comments on consecutive lines of their own are one."""
    block: tuple[int, list[str]] | None = None
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type != tokenize.COMMENT or DIRECTIVE.match(token.string):
                continue
            line, text = token.start[0], token.string.lstrip("#: ")
            alone = token.line.lstrip().startswith("#")
            if block and alone and block[0] + len(block[1]) == line:
                block[1].append(text)
                continue
            if block:
                yield block[0], " ".join(block[1])
            block = (line, [text]) if alone else None
            if not alone:
                yield line, text
    if block:
        yield block[0], " ".join(block[1])


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string of several words that is no docstring."""
    tree = ast.parse(path.read_bytes())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings and " " in str(node.value).strip():
            yield node.lineno, str(node.value)


@pytest.mark.parametrize("folder", ["rtsep", "benchmarks", "examples", "tests", "train"])
def test_comments_and_messages_are_plain_english(folder):
    """Messages of tests are not checked: many are those of a wrong input or of another program."""
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        wrong = [(line, faults(text)) for line, text in comments(path)]
        for line, text in messages(path) if folder != "tests" else ():
            wrong.append((line, [f"'{match[0]}'" for match in WORDS.finditer(text)]))
        found += [f"{path.relative_to(ROOT)}:{line}: {', '.join(words)}" for line, words in wrong if words]
    assert not found, "see docs/style.md:\n" + "\n".join(found)


def test_comments_and_messages_are_found(tmp_path):
    path = tmp_path / "one.py"
    path.write_text('# Where it\n# stands.\nx = f"{1} is told"  # heard\n')
    assert list(comments(path)) == [(1, "Where it stands."), (3, "heard")]
    assert list(messages(path)) == [(3, " is told")]


@pytest.mark.parametrize("folder", ["rtsep", "benchmarks", "examples", "tests", "train"])
def test_docstrings_and_help_are_plain_english(folder):
    found = [
        f"{path.relative_to(ROOT)}:{line}: {', '.join(wrong)}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, text in texts(path)
        if (wrong := faults(text))
    ]
    assert not found, "see docs/style.md:\n" + "\n".join(found)
