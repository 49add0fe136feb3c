"""Hooks of MkDocs: the documents of the whole repository become one site that loads nothing from elsewhere.

Pages link to each other, and to sources, by relative paths, as a browser of the repository follows them.
Paths that leave `docs/` get a place on the site here: Markdown becomes a page, a source a page with its text,
a picture a file. The built site is then searched for addresses that a browser would load from another host.
"""

from __future__ import annotations

import html
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
DOCS = "docs"
ENTRIES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    "benchmarks/RESULTS.md",
)
"""Documents outside docs/ from which links are followed; README.md is the first page of the site."""

PICTURES = (".png", ".svg")
LANGUAGES = {".py": "python", ".c": "c", ".h": "c", ".toml": "toml", ".json": "json"}
"""Languages of sources, for their colours; others are shown as plain text."""

LINK = re.compile(r"(?ms)^```.*?^```|`[^`\n]*`|(?<=\]\()(?P<target>[^)\s]+)(?=\))")
"""The target of each link; blocks and spans of code are matched first, so that none is found in them."""

NAMED = re.compile(
    r"\[(?:[\w./-]+/)?(?P<file>[\w.-]+\.md)\]\((?P<target>[^)\s#]*?(?P=file))(?P<anchor>#[^)\s]*)?\)"
)
"""A link whose text is the name of its page; the site has the page's title there."""

CARD_COLUMNS = 6
"""Tables of more columns stay tables on a phone; the others become cards, one for each row."""

LOADED = re.compile(
    r"""<(?:script|img|iframe|source|audio|video|embed)\b[^>]*?\bsrc=["']?(?P<source>(?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|preconnect|prefetch|icon|manifest|dns-prefetch)\b)"""
    r"""[^>]*?\bhref=["']?(?P<link>(?:https?:)?//[^"'\s>]+)"""
    r"""|(?:url\(|@import\s)["']?(?P<style>(?:https?:)?//[^"')\s]+)"""
)
"""What a browser loads at once: sources of elements, style sheets and the like, addresses in styles."""


def place(path: str) -> str:
    """Return the path on the site of the file at `path` in the repository."""
    if path.startswith(f"{DOCS}/"):
        return path.removeprefix(f"{DOCS}/")
    if path == "README.md":
        return "index.md"
    folder, name = posixpath.split(path)
    if name == "README.md":
        return f"{folder}/index.md"
    if name.endswith(".md"):
        return path.removeprefix("rtsep/assets/").lower()
    return path if name.endswith(PICTURES) else f"source/{folder}/{name.lstrip('.')}.md"  # MkDocs hides .NAME


def targets(text: str) -> list[str]:
    """Return the relative links of a Markdown text, without anchors."""
    found = (match["target"] for match in LINK.finditer(text) if match["target"])
    return [target.partition("#")[0] for target in found if is_relative(target)]


def is_relative(target: str) -> bool:
    """Tell whether a link names a file by its relative path."""
    return not re.match(r"[a-z]+:|#|/", target)


def joined(page: str, target: str) -> str:
    """Return the path in the repository to which `target` leads from the page at `page`."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def rewrite(text: str, page: str, exists: Any = None) -> str:
    """Return the Markdown text of the page at `page`, with its links as the site needs them.

    A link to a file that does not exist stays as it is: MkDocs then refuses it.
    """
    there = exists or (lambda path: (ROOT / path).is_file())

    def new(match: re.Match[str]) -> str:
        target = match["target"]
        if not target or not is_relative(target):
            return match[0]
        path, mark, anchor = target.partition("#")
        path = joined(page, path)
        if not there(path):
            return target
        return posixpath.relpath(place(path), posixpath.dirname(place(page)) or ".") + mark + anchor

    return LINK.sub(new, text)


def linked(starts: list[str]) -> dict[str, Path]:
    """Return the files that links reach from the documents `starts`, by their path in the repository."""
    found: dict[str, Path] = {}
    ahead = list(starts)
    while ahead:
        path = ahead.pop()
        if path in found or not (ROOT / path).is_file():
            continue
        found[path] = ROOT / path
        if path.endswith(".md"):
            ahead += [joined(path, target) for target in targets((ROOT / path).read_text("utf-8"))]
    return found


def source_page(path: str) -> str:
    """Return a page that shows the file at `path`."""
    text = (ROOT / path).read_text("utf-8")
    fence = "`" * (2 + max([1, *map(len, re.findall(r"`+", text))]))
    return f"# {path}\n\n{fence}{LANGUAGES.get(Path(path).suffix, 'text')}\n{text.rstrip()}\n{fence}\n"


def on_files(files: Files, config: Any) -> Files:
    """Add the documents outside docs/, and all files to which links lead."""
    starts = [f"{DOCS}/{file.src_uri}" for file in files if file.src_uri.endswith(".md")]
    for path, real in linked([*starts, *ENTRIES]).items():
        if path.startswith(f"{DOCS}/"):
            continue
        if path.endswith((".md", *PICTURES)):
            files.append(File.generated(config, place(path), abs_src_path=str(real)))
        else:
            files.append(File.generated(config, place(path), content=source_page(path)))
    return files


def titled(text: str, page: str) -> str:
    """Return the Markdown text of the page at `page`, with titles where links show the name of a page."""

    def new(match: re.Match[str]) -> str:
        file = ROOT / joined(page, match["target"])
        if not file.is_file():
            return match[0]
        title = re.search(r"^# (.+)$", file.read_text("utf-8"), flags=re.MULTILINE)
        return f"[{title[1] if title else match['file']}]({match['target']}{match['anchor'] or ''})"

    return NAMED.sub(new, text)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn the links of a page into those of the site."""
    real = page.file.abs_src_path
    if real is None:
        return markdown
    path = Path(os.path.relpath(real, ROOT)).as_posix()
    return rewrite(titled(markdown, path), path)


def with_titles(table: str) -> str:
    """Return the HTML of a table, each cell with the title of its column; wide tables as they are."""
    columns = [
        html.escape(re.sub(r"<[^>]+>", "", title)) for title in re.findall(r"<th\b[^>]*>(.*?)</th>", table)
    ]
    if len(columns) > CARD_COLUMNS:
        return table

    def row(match: re.Match[str]) -> str:
        left = iter(columns)
        return re.sub(r"<td\b", lambda _: f'<td data-title="{next(left, "")}"', match[0])

    return f'<div class="cards">{re.sub(r"(?s)<tr>.*?</tr>", row, table)}</div>'


def on_page_content(html_text: str, **_: Any) -> str:
    """Prepare the tables of a page for phones."""
    return re.sub(r"(?s)<table>.*?</table>", lambda match: with_titles(match[0]), html_text)


def loaded_from_elsewhere(text: str) -> list[str]:
    """Return the addresses on other hosts that a browser would load for this HTML or CSS."""
    return [match["source"] or match["link"] or match["style"] for match in LOADED.finditer(text)]


def on_post_build(config: Any) -> None:
    """Refuse a site that loads something from another host when it is opened."""
    site = Path(config["site_dir"])
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css"), *site.rglob("*.svg")]):
        if found := loaded_from_elsewhere(path.read_text("utf-8")):
            raise PluginError(
                f"{path.relative_to(site)} loads {', '.join(found)}: the site loads from no other host"
            )
