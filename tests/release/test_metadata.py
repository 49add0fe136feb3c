"""The files around the code agree with each other: versions, Pythons, paths that the workflow names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOW = (ROOT / ".github" / "workflows" / "test.yml").read_text()


def test_the_version_is_the_same_everywhere():
    version = re.escape(PROJECT["version"])
    assert re.search(rf"^version: {version}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert re.search(rf"^## \[{version}\] - ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_workflow_runs_every_python_that_is_supported():
    oldest = PROJECT["requires-python"].removeprefix(">=")
    (listed,) = re.findall(r"python: \[(.+)\]", WORKFLOW)
    assert listed.split(", ")[0] == f'"{oldest}"'


def test_the_workflow_names_tests_that_exist():
    paths = re.findall(r"\btests/[\w/.]+", WORKFLOW)
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
