"""docs/faults.md has a row for each fault of the table, and what the table calls proven is tested."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT
from tests.faults.table import FAULTS, PROVEN


def test_the_page_has_the_rows_of_the_table():
    page = (ROOT / "docs" / "faults.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \| [^|]+ \|$", page, flags=re.MULTILINE)
    shown = [row for row in rows if row != "fault" and not set(row) <= {"-"}]
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
