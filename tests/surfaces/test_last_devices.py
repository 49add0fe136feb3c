"""The last devices: stored while a session plays; one that could not be opened stays stored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtsep.session.options import LiveOptions
from rtsep.surfaces.last_devices import DevicesKeeper, load_last_devices

UNUSED = {"out_device": "Scarlett", "out_channels": (3, 4)}
STORED = {"out_device": "Scarlett", "out_channels": [3, 4]}


class Session:
    """The part of a session that the keeper reads."""

    def __init__(self, **options: object) -> None:
        self.options = LiveOptions(**options)

    def read(self) -> tuple[LiveOptions, str, str, bool]:
        return self.options, "mic of the machine", "Speakers of the machine", False

    def choose(self, **options: object) -> None:
        self.options = replace(self.options, **options)


@pytest.mark.parametrize("instead", [None, "Speakers of rtsep.toml"])
def test_a_device_that_could_not_be_opened_stays_stored_until_another_is_chosen(tmp_path, instead):
    session, path = Session(out_device=instead), tmp_path / "devices.toml"
    keeper = DevicesKeeper(session.read, pytest.fail, path, unused=UNUSED)
    keeper()
    assert load_last_devices(path) == STORED
    session.choose(input="Microphone")
    keeper()
    assert load_last_devices(path) == {"in": "Microphone", **STORED}
    session.choose(out_device="Headphones")
    keeper()
    assert load_last_devices(path) == {"in": "Microphone", "out_device": "Headphones"}
    session.choose(out_device=instead)  # back to the first one: a choice, too
    keeper()
    assert load_last_devices(path).get("out_device") == instead
