"""When the demo song is played again and again."""

from __future__ import annotations

import pytest

from rtsep.cli.live import live_parser, plays_on


@pytest.mark.parametrize(
    ("options", "on"),
    [
        (("--in", "demo"), True),
        (("--in", "demo", "--seconds", "5"), False),
        (("--in", "demo", "--record", "takes"), False),
        (("--in", "song.flac"), False),
        ((), False),
    ],
)
def test_the_demo_loops_unless_something_ends_it(options, on):
    assert plays_on(live_parser().parse_args(options)) is on
