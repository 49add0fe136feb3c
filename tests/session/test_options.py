"""The options of a session check themselves; an error names the argument, or the option."""

from __future__ import annotations

import dataclasses

import pytest

from rtsep.errors import UsageError
from rtsep.session.options import LiveOptions, OptionError, named_as_options


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 8000, "block": 16, "slack": 0},
        {"rate": 384000, "block": 8192, "slack": 65536},
        {"in_channels": (64,), "out_channels": (2, 1)},
        {"seconds": 0.001, "client_name": "x" * 32},
    ],
)
def test_the_bounds_are_accepted(options):
    LiveOptions(**options)


@pytest.mark.parametrize(
    ("name", "value", "rest"),
    [
        ("rate", 7999, " 7999: must be a whole number from 8000 to 384000 Hz"),
        ("rate", 384001, " 384001: must be a whole number from 8000 to 384000 Hz"),
        ("block", True, " True: must be a whole number from 16 to 8192 frames"),
        ("slack", 65537, " 65537: must be a whole number from 0 to 65536 frames"),
        ("in_channels", (), " (): give at least one channel, each only once"),
        ("in_channels", (65,), ": channel 65: must be a whole number from 1 to 64"),
        ("out_channels", (3, 2, 3), " (3, 2, 3): channel 3 is given twice; give each channel once"),
        ("client_name", "x" * 33, f" '{'x' * 33}': must be 1 to 32 printable characters without a colon"),
        ("seconds", float("inf"), " inf: must be more than 0 and at most 1000000000"),
        ("seconds", 1e305, " 1e+305: must be more than 0 and at most 1000000000"),
        ("seconds", 10**400, " inf: must be more than 0 and at most 1000000000"),
        ("speed", 10**400, " inf: out of range; 0.5 to 1.5, 1 is as recorded"),
        ("key", -(10**400), " -inf: out of range; -6 to 6 semitones, 0 is as recorded"),
        ("out_device", 5, " 5: give the name of a device, in quotes"),
        ("compute", "npu", " 'npu': must be one of cpu, cuda; did you mean 'cpu'?"),
    ],
)
def test_an_error_names_the_argument_or_the_option(name, value, rest):
    with pytest.raises(OptionError) as error:
        LiveOptions(**{name: value})
    assert str(error.value) == name + rest
    with pytest.raises(UsageError) as error, named_as_options():
        dataclasses.replace(LiveOptions(), **{name: value})
    assert str(error.value) == f"--{name.replace('_', '-')}{rest}"
