"""Our virtual devices on a PulseAudio server, beside devices of others that have their names."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from rtsep.audio import pulse_virtual as virtual
from rtsep.errors import DeviceError


class Server:
    """A server as `pulsectl` shows it, with the two modules that we load."""

    def __init__(self, *foreign_sinks: str, foreign_sources: tuple[str, ...] = ()) -> None:
        self.loaded: list[str] = []
        self.sinks = [self._end(name, "") for name in foreign_sinks]
        self.sources = [self._end(name, "") for name in foreign_sources]

    def _end(self, name: str, properties: str) -> SimpleNamespace:
        proplist = dict(re.findall(r'(\S+)="([^"]*)"', properties))
        return SimpleNamespace(name=name, proplist=proplist, owner_module=len(self.loaded))

    def sink_list(self) -> list[SimpleNamespace]:
        return self.sinks

    def source_list(self) -> list[SimpleNamespace]:
        return self.sources

    def module_load(self, module: str, arguments: str) -> None:
        self.loaded.append(module)
        kind, name = re.match(r"(?:master=\S+ )?(sink|source)_name=(\S+)", arguments).groups()  # type: ignore[union-attr]
        properties = arguments.partition("_properties=")[2].strip("'")
        {"sink": self.sinks, "source": self.sources}[kind].append(self._end(name, properties))
        if kind == "sink":
            self.sources.append(self._end(name + virtual.MONITOR_SUFFIX, properties))

    def module_unload(self, module: int) -> None:
        for ends in (self.sinks, self.sources):
            ends[:] = [end for end in ends if end.owner_module != module]


def test_a_microphone_is_made_once_with_the_sink_behind_it_and_removed_whole():
    server = Server()
    for _ in range(2):
        virtual.load_microphone(server, 48000)
    assert server.loaded == ["module-null-sink", "module-remap-source"]
    assert virtual.unload(server, virtual.VOICE)
    assert not server.sinks and not server.sources
    assert not virtual.unload(server, virtual.VOICE)


def test_a_role_leaves_the_other_alone():
    server = Server()
    virtual.load_microphone(server, 48000)
    virtual.load_sink(server, virtual.SINK, virtual.SINK_TITLE, virtual.PLAYERS, 48000)
    assert virtual.unload(server, virtual.PLAYERS)
    assert [sink.name for sink in server.sinks] == [virtual.VOICE_SINK]


@pytest.mark.parametrize(
    "server",
    [Server(virtual.VOICE_SINK), Server(foreign_sources=(virtual.VOICE_SOURCE,))],
    ids=["sink", "source"],
)
def test_a_device_of_somebody_else_is_refused_by_name_and_stays(server):
    with pytest.raises(DeviceError, match="that is not rtsep's; remove or rename it"):
        virtual.load_microphone(server, 48000)
    virtual.unload(server, virtual.VOICE)
    assert [end.name for end in (*server.sinks, *server.sources)] in (
        [virtual.VOICE_SINK], [virtual.VOICE_SOURCE]
    )  # fmt: skip
