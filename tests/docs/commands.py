"""The commands that the pages show: collected from their shell blocks, and from cells of tables.

A command that no test runs has a comment with the reason: `# not run here: needs this sound card`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from itertools import takewhile

from tests.docs.pages import LINKED, PAGES

PROGRAMS = ("rtsep", "make", "python -m train", "torchrun")
MARK = "not run here"

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_CELL = re.compile(r"(?<=\|) `((?:rtsep|make|python -m train) [^`]*)`(?P<after>[^|`]*)(?=\|)")
_PROGRAM = re.compile(r"(?:^|[|;&] ?|srun |\s)(rtsep [a-z-]|make [a-z]|python -m train |torchrun )")


@dataclass(frozen=True)
class Command:
    """One command of a page."""

    page: str
    line: int
    text: str  # as a shell takes it, without its comment
    comment: str = ""

    @property
    def id(self) -> str:
        """The name of the test."""
        return f"{self.page}:{self.text}"

    @property
    def is_run(self) -> bool:
        """True unless the page marks it as not run."""
        return MARK not in self.comment

    @property
    def reason(self) -> str:
        """The reason on the page why no test runs it."""
        return self.comment.partition(MARK)[2].lstrip(": ").strip()

    @property
    def words(self) -> list[str]:
        """The words that the program gets, itself included; without redirections."""
        return list(takewhile(lambda word: word not in (">", "<", "|"), shlex.split(self.text)))

    @property
    def kind(self) -> str:
        """The command of rtsep, the target of make, the step of train."""
        words = self.words
        return " ".join(words[:4] if words[0] == "python" else words[:2])


def split(line: str) -> tuple[str, str]:
    """Return the command and the comment of a line of shell."""
    quotes = re.match(r"""(?:[^'"#]|'[^']*'|"[^"]*"|(?<=\S)#)*""", line)
    assert quotes
    return quotes[0].strip(), line[quotes.end() :].lstrip("# ").strip()


def of_block(page: str, first: int, block: str) -> list[Command]:
    """Return the commands of a shell block; `first` is its line in `page`. Continued lines are joined."""
    found: list[Command] = []
    held, began = "", first
    for number, line in enumerate(block.splitlines(), first):
        if not held:
            began = number
        if line.endswith("\\"):
            held += line[:-1]
            continue
        text, comment = split(held + line)
        held = ""
        if _PROGRAM.search(text):
            found.append(Command(page, began, text, comment))
    return found


def of_page(page: str, text: str) -> list[Command]:
    """Return the commands of a page, in its order."""
    found = []
    for block in _BLOCK.finditer(text):
        found += of_block(page, text.count("\n", 0, block.start(1)) + 1, block[1])
    for cell in _CELL.finditer(text):
        found.append(
            Command(page, text.count("\n", 0, cell.start()) + 1, cell[1], cell["after"].strip(" ()"))
        )
    return sorted(found, key=lambda command: command.line)


TEXTS = PAGES | {"CONTRIBUTING.md": LINKED["CONTRIBUTING.md"]}
COMMANDS = {name: found for name, text in sorted(TEXTS.items()) if (found := of_page(name, text))}
ALL = [command for found in COMMANDS.values() for command in found]
