"""The pictures in docs/terminal.md are what the view draws."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.surfaces.view.pictures import FOLDER, SIZES, draw, elements

ROUNDED = 0.005
"""Share of dots that may be one shade off: processors differ in the last bit of a sum."""


@pytest.mark.parametrize("name", SIZES)
def test_a_picture_is_what_the_view_draws(name):
    kept, drawn = (elements(svg) for svg in ((FOLDER / f"{name}.svg").read_text(), draw(name)))
    assert len(drawn) > 500
    differ = (Counter(kept) - Counter(drawn)) + (Counter(drawn) - Counter(kept))
    anew = "the view has changed: look at it, then draw them anew: python -m tests.surfaces.view.pictures"
    assert [e for e in differ if re.search(r">.*\w", e)] == [], anew
    assert differ.total() <= 2 * ROUNDED * len(drawn), anew


def test_the_page_shows_the_pictures():
    page = (FOLDER.parent / "terminal.md").read_text()
    for name in SIZES:
        assert f"screens/{name}.svg" in page
