"""Messages between processes arrive as they were sent, and nothing else is taken for one."""

from __future__ import annotations

import json
import types
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.model import messages
from rtsep.realtime.wire import Message, Wire, WireError, encode
from rtsep.surfaces.midi import protocol

WIRES = {
    "model tasks": messages.TASKS, "model answers": messages.ANSWERS, "MIDI tasks": protocol.TASKS,
    "MIDI commands": protocol.COMMANDS, "MIDI events": protocol.EVENTS,
}  # fmt: skip

TEXT = st.text(st.characters() | st.sampled_from([chr(code) for code in range(0xDC80, 0xDD00)]))
"""Any text, and the characters that stand for bytes of a path that is not UTF-8."""


def kinds_of(wire: Wire) -> tuple[type[Message], ...]:
    return typing.get_args(wire._kinds) or (wire._kinds,)


def values_of(hint: typing.Any) -> st.SearchStrategy:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return st.integers(inner[1].ge, inner[1].le)
    if origin is list:
        return st.lists(values_of(inner[0]), max_size=4)
    if origin is dict:
        return st.dictionaries(values_of(inner[0]), values_of(inner[1]), max_size=4)
    if origin is types.UnionType:
        return st.one_of(map(values_of, inner))
    plain = {str: TEXT, int: st.integers(), bool: st.booleans(), type(None): st.none()}
    return plain[hint] if hint in plain else st.floats(allow_nan=False)


def messages_of(kind: type[Message]) -> st.SearchStrategy:
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: values_of(hints[name]) for name in kind.__struct_fields__})


@pytest.mark.parametrize(
    ("wire", "kind"),
    [(wire, kind) for wire in WIRES.values() for kind in kinds_of(wire)],
    ids=lambda value: getattr(value, "__name__", ""),
)
@given(data=st.data())
def test_a_message_arrives_as_it_was_sent_in_one_line(wire, kind, data):
    message = data.draw(messages_of(kind))
    line = encode(message)
    assert line.isascii() and line.endswith("\n") and line.count("\n") == 1
    assert wire.decode(line) == wire.decode(line.encode()) == message


@pytest.mark.parametrize("name", WIRES)
@given(line=st.text() | st.binary())
def test_what_is_no_message_is_refused_with_one_line(name, line):
    with pytest.raises(WireError) as refused:
        WIRES[name].decode(line)
    assert str(refused.value).startswith("not a message of this version of rtsep: ")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
@given(data=st.data())
def test_a_message_with_a_field_too_many_too_few_or_of_another_kind_is_refused(wire, data):
    kind = data.draw(st.sampled_from(kinds_of(wire)))
    plain = msgspec.to_builtins(data.draw(messages_of(kind)))
    wrongs = [plain | {"kind": "song"}, plain | {"also": 1}, {**plain, "kind": None}]
    wrongs += [{key: value for key, value in plain.items() if key != name} for name in plain]
    for wrong in wrongs:
        with pytest.raises(WireError):
            wire.decode(json.dumps(wrong))


def test_a_midi_event_can_be_read_as_a_mapping():
    event = protocol.Opened(3, "pad", "ALSA", ["pad 2"])
    assert "opened" in event and "closed" not in event and "lost" not in event
    assert (event["opened"], event["name"], event.get("others"), event.get("why")) == (
        3, "pad", ["pad 2"], None,
    )  # fmt: skip
    with pytest.raises(KeyError):
        event["why"]
    assert protocol.Scanned()["scanned"] is True
    assert protocol.Received(1, [[144, 1, 2]])["from"] == 1 and "messages" in protocol.Received(1, [])
