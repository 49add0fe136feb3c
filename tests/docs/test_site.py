"""The site of the documentation: links of the repository lead there too, and it loads from no other host."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mkdocs", reason="needs mkdocs (pip install '.[docs]')")

ROOT = Path(__file__).resolve().parents[2]
CONFIG = (ROOT / "mkdocs.yml").read_text()


def load() -> Any:
    spec = importlib.util.spec_from_file_location("repository", ROOT / "docs" / "site" / "repository.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


repository = load()


@pytest.mark.parametrize(
    ("page", "link", "there"),
    [
        ("README.md", "docs/live.md#silence", "live.md#silence"),
        ("README.md", "docs/screens/live-80x24.svg", "screens/live-80x24.svg"),
        ("README.md", "rtsep/assets/models/live.md", "models/live.md"),
        ("docs/models.md", "../README.md#models", "index.md#models"),
        ("docs/models.md", "../rtsep/model/contract.py", "source/rtsep/model/contract.py.md"),
        ("docs/benchmarks.md", "../benchmarks/RESULTS.md", "benchmarks/results.md"),
        ("benchmarks/RESULTS.md", "figures/cost-latency.svg", "figures/cost-latency.svg"),
        ("CHANGELOG.md", "train/README.md", "train/index.md"),
        ("train/README.md", "__main__.py", "../source/train/__main__.py.md"),
        ("CONTRIBUTING.md", ".importlinter", "source/importlinter.md"),
        ("docs/live.md", "nowhere.md", "nowhere.md"),
        ("docs/live.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("docs/live.md", "#silence", "#silence"),
    ],
)
def test_links_lead_to_the_same_place_on_the_site(page, link, there):
    assert repository.rewrite(f"see [it]({link}) and `[no]({link})`", page) == (
        f"see [it]({there}) and `[no]({link})`"
    )


def test_code_is_left_alone():
    text = "```python\nx = a[1](../README.md)\n```\n"
    assert repository.rewrite(text, "docs/python.md") == text


def test_names_of_pages_become_their_titles():
    text = "[live.md](live.md#silence), [live](live.md), [docs/x.md](x.md)"
    title = re.search(r"^# (.+)$", (ROOT / "docs" / "live.md").read_text(), re.MULTILINE)
    assert title
    assert repository.titled(text, "docs/install.md") == text.replace("[live.md]", f"[{title[1]}]")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<script defer src="https://a.example/x.js">', ["https://a.example/x.js"]),
        ("<img alt=x src=//a.example/x.png>", ["//a.example/x.png"]),
        ('<link rel="stylesheet" href="https://a.example/x.css">', ["https://a.example/x.css"]),
        ('<link href="https://a.example" rel=preconnect>', ["https://a.example"]),
        ("@font-face { src: url(https://a.example/f.woff2) }", ["https://a.example/f.woff2"]),
        ('@import "https://a.example/x.css";', ["https://a.example/x.css"]),
        ('<a href="https://a.example">a link loads nothing</a>', []),
        ('<link rel="next" href="https://a.example">', []),
        ('<script src="assets/x.js"></script><img src=data:image/png;base64,AA==>', []),
    ],
)
def test_what_a_browser_would_load_from_elsewhere_is_found(text, found):
    assert repository.loaded_from_elsewhere(text) == found


def test_cells_have_the_titles_of_their_columns_for_phones():
    row = "<tr>\n<td>x</td>\n<td>1</td>\n</tr>"
    table = (
        f"<table>\n<thead>\n<tr>\n<th>key</th>\n<th>an <code>action</code></th>\n</tr>\n</thead>{row}</table>"
    )
    html = repository.on_page_content(f"<p>a</p>{table}")
    assert '<td data-title="key">x</td>\n<td data-title="an action">1</td>' in html
    assert html.startswith('<p>a</p><div class="cards"><table>')
    wide = table.replace("<th>key</th>", "<th>key</th>" * repository.CARD_COLUMNS)
    assert repository.on_page_content(wide) == wide


def test_the_menu_has_every_page():
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert pages <= set(re.findall(r": ([\w-]+\.md)$", CONFIG, re.MULTILINE))


def build(site: Path, *, config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config, "--site-dir", site],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.long
def test_the_site_is_built_and_a_wrong_link_or_anchor_stops_it(tmp_path):
    """`make lint` builds it too; here it is also broken on purpose."""
    run = build(tmp_path / "site", config=ROOT / "mkdocs.yml")
    assert run.returncode == 0, run.stderr
    api = (tmp_path / "site" / "api.html").read_text()
    assert 'id="rtsep.Session.switch_model"' in api
    assert 'id="rtsep.Separator.separate"' in api
    for name in ("docs", "rtsep", "train", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.pt"))
    for path in (*ROOT.glob("*.md"), ROOT / "LICENSE", ROOT / ".importlinter", ROOT / "mkdocs.yml"):
        shutil.copy(path, tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    page = tmp_path / "docs" / "presets.md"
    text = page.read_text()
    for wrong in ("[x](nowhere.md)", "[x](live.md#nowhere)", "![x](screens/nowhere.png)", "[x](/live.md)"):
        page.write_text(f"{text}\n{wrong}\n")
        run = build(tmp_path / "broken", config=tmp_path / "mkdocs.yml")
        assert run.returncode != 0, f"{wrong} was accepted"
        assert "presets.md" in run.stderr, run.stderr
    page.write_text(f'{text}\n<img src="https://a.example/x.png">\n')
    run = build(tmp_path / "broken", config=tmp_path / "mkdocs.yml")
    assert run.returncode != 0
    assert "loads https://a.example/x.png" in run.stderr
