"""The texts of the README, the pages under docs/ and the other documents."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "docs").glob("*.md")}
PAGES["README.md"] = (ROOT / "README.md").read_text()

LINKED = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for folder in (".", ".github", "docs", "train", "benchmarks", "rtsep/assets", "rtsep/assets/models")
    for path in sorted((ROOT / folder).glob("*.md"))
}


def blocks(text: str, *languages: str) -> list[str]:
    """Return the blocks of code of these languages ("": none is named)."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [block for language, block in found if language in languages]
