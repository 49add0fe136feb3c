"""A host of LV2 plugins in Python: it loads the built plugin and calls it as the specification allows.

host = Host(bundle, rate=48000, block=512)
out = host.play(sound)             # [2, frames] in, [6, frames] out, in calls of `block` frames
host.close()
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.controls import TABLE
from rtsep.plugin import ttl
from tests.waiting import until

STARTING, PLAYS, REFUSED, DOWN = 0.0, 1.0, 2.0, 3.0
PATIENCE_S = 120.0  # of an engine that compiles first

_ATOM = "http://lv2plug.in/ns/ext/atom#"
_TIME = "http://lv2plug.in/ns/ext/time#"
_PATCH = "http://lv2plug.in/ns/ext/patch#"
_NOMINAL = "http://lv2plug.in/ns/ext/buf-size#nominalBlockLength"
_Handle = ctypes.c_void_p


class _Feature(ctypes.Structure):
    _fields_ = [("uri", ctypes.c_char_p), ("data", ctypes.c_void_p)]


class _Descriptor(ctypes.Structure):
    _fields_ = [
        ("uri", ctypes.c_char_p),
        ("instantiate", ctypes.CFUNCTYPE(
            _Handle, ctypes.c_void_p, ctypes.c_double, ctypes.c_char_p,
            ctypes.POINTER(ctypes.POINTER(_Feature)),
        )),
        ("connect_port", ctypes.CFUNCTYPE(None, _Handle, ctypes.c_uint32, ctypes.c_void_p)),
        ("activate", ctypes.CFUNCTYPE(None, _Handle)),
        ("run", ctypes.CFUNCTYPE(None, _Handle, ctypes.c_uint32)),
        ("deactivate", ctypes.CFUNCTYPE(None, _Handle)),
        ("cleanup", ctypes.CFUNCTYPE(None, _Handle)),
        ("extension_data", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)),
    ]  # fmt: skip


_MAP = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_char_p)
_PRINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_char_p)


class _Map(ctypes.Structure):
    _fields_ = [("handle", ctypes.c_void_p), ("map", _MAP)]


class _Log(ctypes.Structure):
    _fields_ = [("handle", ctypes.c_void_p), ("printf", _PRINT), ("vprintf", ctypes.c_void_p)]


class _Option(ctypes.Structure):
    _fields_ = [
        ("context", ctypes.c_int), ("subject", ctypes.c_uint32), ("key", ctypes.c_uint32),
        ("size", ctypes.c_uint32), ("type", ctypes.c_uint32), ("value", ctypes.c_void_p),
    ]  # fmt: skip


_STORE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_uint32,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_uint32,
    ctypes.c_uint32,
)
_RETRIEVE = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(ctypes.c_size_t),
    ctypes.POINTER(ctypes.c_uint32), ctypes.POINTER(ctypes.c_uint32),
)  # fmt: skip


_SCHEDULE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)


class _Schedule(ctypes.Structure):
    _fields_ = [("handle", ctypes.c_void_p), ("schedule_work", _SCHEDULE)]


class _Worker(ctypes.Structure):
    _fields_ = [
        ("work", ctypes.CFUNCTYPE(
            ctypes.c_int, _Handle, _SCHEDULE, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_char_p
        )),
        ("work_response", ctypes.CFUNCTYPE(ctypes.c_int, _Handle, ctypes.c_uint32, ctypes.c_char_p)),
    ]  # fmt: skip


class _State(ctypes.Structure):
    _fields_ = [
        ("save", ctypes.CFUNCTYPE(
            ctypes.c_int, _Handle, _STORE, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p
        )),
        ("restore", ctypes.CFUNCTYPE(
            ctypes.c_int, _Handle, _RETRIEVE, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p
        )),
    ]  # fmt: skip


class Host:
    """One instance of the plugin. Ports are arrays here; `log` has its messages.

    Work for the host's worker is done after the call. `told` is the last model that it reported,
    by the end of the property's URI.
    """

    def __init__(
        self, bundle: Path, rate: int = 48000, block: int | None = 512, in_place: bool = False
    ) -> None:
        self.rate, self.block = rate, block or 512
        self.log: list[str] = []
        self.told: dict[str, str] = {}
        self._names: dict[bytes, int] = {}
        self._asked: list[bytes] = []
        self._library = ctypes.CDLL(str(bundle / ttl.BINARY))
        self._library.lv2_descriptor.restype = ctypes.POINTER(_Descriptor)
        self._descriptor = self._library.lv2_descriptor(0).contents
        assert self._descriptor.uri == ttl.URI.encode()
        self._map = _Map(None, _MAP(lambda _, uri: self._names.setdefault(uri, len(self._names) + 1)))
        self._print = _PRINT(lambda _, kind, form, line: self.log.append(line.decode()) or 0)
        self._log = _Log(None, self._print, None)
        self._ask = _SCHEDULE(lambda _, size, data: self._asked.append(ctypes.string_at(data, size)) or 0)
        self._schedule = _Schedule(None, self._ask)
        self._nominal = ctypes.c_int32(block or 0)
        features = [
            _Feature(b"http://lv2plug.in/ns/ext/urid#map", ctypes.addressof(self._map)),
            _Feature(b"http://lv2plug.in/ns/ext/log#log", ctypes.addressof(self._log)),
            _Feature(b"http://lv2plug.in/ns/ext/worker#schedule", ctypes.addressof(self._schedule)),
        ]
        if block:
            self._options = self._options_of(block)
            features.append(
                _Feature(b"http://lv2plug.in/ns/ext/options#options", ctypes.addressof(self._options))
            )
        self._features = features
        listed = (ctypes.POINTER(_Feature) * (len(features) + 1))(
            *(ctypes.pointer(f) for f in features), None
        )
        self.handle = self._descriptor.instantiate(None, float(rate), f"{bundle}/".encode(), listed)
        assert self.handle
        self._sound = np.zeros((8, 8192), np.float32)
        self._places = [0, 1, *(range(6) if in_place else range(2, 8))]
        self.values = np.zeros(ttl.PORTS, np.float32)
        self.values[ttl.PORT_ENABLED] = 1
        self._events = np.zeros(256, np.uint64)
        self._notes = np.zeros(2048, np.uint64)
        places = {ttl.PORT_EVENTS: self._events, ttl.PORT_NOTIFY: self._notes}
        self.position(None)
        for port in range(8):
            self._connect(port, self._sound[self._places[port]])
        for port in range(8, ttl.PORTS):
            self._connect(port, places.get(port, self.values[port:]))
        for i, control in enumerate(TABLE):
            self.values[ttl.PORT_CONTROLS + i] = control.default
        self._descriptor.activate(self.handle)

    def id_of(self, uri: str) -> int:
        """Return the number of a URI."""
        return self._names.setdefault(uri.encode(), len(self._names) + 1)

    def _options_of(self, block: int) -> ctypes.Array[_Option]:
        self._nominal.value = block
        option = _Option(
            0, 0, self.id_of(_NOMINAL), 4, self.id_of(_ATOM + "Int"), ctypes.addressof(self._nominal)
        )
        return (_Option * 2)(option, _Option())

    def _connect(self, port: int, memory: NDArray) -> None:
        self._descriptor.connect_port(self.handle, port, memory.ctypes.data)

    def position(self, frame: int | None, speed: float = 1.0) -> None:
        """Tell with the next call where the transport is; None: nothing."""
        raw = bytearray()
        if frame is not None:
            body = bytearray(np.array([0, self.id_of(_TIME + "Position")], np.uint32).tobytes())
            long, single = self.id_of(_ATOM + "Long"), self.id_of(_ATOM + "Float")
            body += np.array([self.id_of(_TIME + "frame"), 0, 8, long], np.uint32).tobytes()
            body += np.array([frame], np.int64).tobytes()
            body += np.array([self.id_of(_TIME + "speed"), 0, 4, single], np.uint32).tobytes()
            body += np.array([speed, 0], np.float32).tobytes()
            raw += self._event(body[:-4])
        self._write_events(raw)

    def choose(self, model: str, kind: str = "Path", about: str = "model_file") -> None:
        """Ask with the next call for a model, as a host's file chooser does; `kind` is the atom's."""
        value = model.encode() + b"\0"
        body = bytearray(np.array([0, self.id_of(_PATCH + "Set")], np.uint32).tobytes())
        property_is = [self.id_of(_PATCH + "property"), 0, 4, self.id_of(_ATOM + "URID")]
        body += np.array([*property_is, self.id_of(f"{ttl.URI}#{about}"), 0], np.uint32).tobytes()
        value_is = [self.id_of(_PATCH + "value"), 0, len(value), self.id_of(_ATOM + kind)]
        body += np.array(value_is, np.uint32).tobytes() + value
        self._write_events(self._event(body))

    def ask(self) -> None:
        """Ask with the next call for all properties."""
        self._write_events(self._event(np.array([0, self.id_of(_PATCH + "Get")], np.uint32).tobytes()))

    def _event(self, body: bytes) -> bytes:
        size = np.array([len(body), self.id_of(_ATOM + "Object")], np.uint32).tobytes()
        whole = np.array([0], np.int64).tobytes() + size + body
        return whole + b"\0" * (-len(whole) % 8)

    def _write_events(self, raw: bytes) -> None:
        head = np.array([8 + len(raw), self.id_of(_ATOM + "Sequence"), 0, 0], np.uint32).tobytes()
        whole = (head + bytes(raw)).ljust(self._events.nbytes, b"\0")
        self._events[:] = np.frombuffer(whole, np.uint64)

    def set(self, name: str, value: float) -> None:
        """Turn a control."""
        index = next(i for i, control in enumerate(TABLE) if control.name == name)
        self.values[ttl.PORT_CONTROLS + index] = value

    @property
    def free_wheel(self) -> bool:
        """True while the host renders."""
        return self.values[ttl.PORT_FREE_WHEEL] > 0

    @free_wheel.setter
    def free_wheel(self, on: bool) -> None:
        self.values[ttl.PORT_FREE_WHEEL] = on

    @property
    def latency(self) -> int:
        """As reported by the last call."""
        return int(self.values[ttl.PORT_LATENCY])

    @property
    def engine(self) -> float:
        """State of the engine, as reported by the last call."""
        return float(self.values[ttl.PORT_STATE])

    @property
    def late(self) -> int:
        """Late frames, as reported by the last call."""
        return int(self.values[ttl.PORT_LATE])

    def call(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run once on `block` [2, frames]; return [6, frames]."""
        frames = block.shape[1]
        self._sound[:2, :frames] = block
        self._notes[:1].view(np.uint32)[:] = self._notes.nbytes - 8, 0
        self._descriptor.run(self.handle, frames)
        self.position(None)
        self._read_notes()
        self._work()
        return self._sound[self._places[2:], :frames].copy()

    def _read_notes(self) -> None:
        """Take the properties that the plugin reports."""
        raw = self._notes.tobytes()
        end = 8 + int.from_bytes(raw[:4], "little")
        names = {number: uri.decode() for uri, number in self._names.items()}
        at = 16
        while at < end:
            size = int.from_bytes(raw[at + 8 : at + 12], "little")
            body = raw[at + 16 : at + 16 + size]
            assert names[int.from_bytes(body[4:8], "little")] == _PATCH + "Set"
            about = names[int.from_bytes(body[24:28], "little")]
            length = int.from_bytes(body[40:44], "little")
            self.told[about.split("#")[1]] = body[48 : 48 + length - 1].decode()
            at += 16 + size + -size % 8

    def _work(self) -> None:
        """Do what the plugin has asked the worker for; it gets the answers."""
        address = self._descriptor.extension_data(b"http://lv2plug.in/ns/ext/worker#interface")
        worker = ctypes.cast(address, ctypes.POINTER(_Worker)).contents
        while self._asked:
            answers: list[bytes] = []
            respond = _SCHEDULE(
                lambda _, size, data, to=answers: to.append(ctypes.string_at(data, size)) or 0
            )
            asked = self._asked.pop(0)
            worker.work(self.handle, respond, None, len(asked), asked)
            for answer in answers:
                worker.work_response(self.handle, len(answer), answer)

    def play(
        self,
        sound: NDArray[np.float32],
        blocks: Iterable[int] = (),
        between: Callable[[], None] | None = None,
    ) -> NDArray[np.float32]:
        """Play `sound` [2, frames] in calls of `blocks` frames, then of the usual; return [6, frames]."""
        parts, done, sizes = [], 0, iter(blocks)
        while done < sound.shape[1]:
            size = next(sizes, self.block)
            parts.append(self.call(sound[:, done : done + size]))
            done += size
            if between:
                between()
        return np.concatenate(parts, axis=1)

    def until_engine(self, *states: float) -> None:
        """Call with silence until the engine is in one of `states`."""
        silence = np.zeros((2, self.block), np.float32)

        def there() -> bool:
            self.call(silence)
            return self.engine in states

        until(there, f"the engine should be in one of {states}; {self.log}", PATIENCE_S)

    def reset(self) -> None:
        """Deactivate and activate."""
        if self._descriptor.deactivate:
            self._descriptor.deactivate(self.handle)
        self._descriptor.activate(self.handle)

    def set_block(self, block: int) -> None:
        """Tell another nominal block length."""
        address = self._descriptor.extension_data(b"http://lv2plug.in/ns/ext/options#interface")
        functions = ctypes.cast(address, ctypes.POINTER(ctypes.c_void_p))
        set_options = ctypes.CFUNCTYPE(ctypes.c_uint32, _Handle, ctypes.c_void_p)(functions[1])
        self._options = self._options_of(block)
        assert set_options(self.handle, ctypes.addressof(self._options)) == 0
        self.block = block

    def _state(self) -> _State:
        address = self._descriptor.extension_data(b"http://lv2plug.in/ns/ext/state#interface")
        return ctypes.cast(address, ctypes.POINTER(_State)).contents

    def save(self) -> dict[str, str]:
        """Return what the plugin saves, by the end of its URI."""
        kept: dict[str, str] = {}

        def store(_: int, key: int, value: int, size: int, kind: int, how: int) -> int:
            assert kind == self.id_of(_ATOM + "String"), "without state:mapPath it saves no path"
            uri = next(name for name, number in self._names.items() if number == key)
            kept[uri.decode().split("#")[1]] = ctypes.string_at(value, size)[:-1].decode()
            return 0

        assert self._state().save(self.handle, _STORE(store), None, 0, None) == 0
        return kept

    def restore(self, state: Mapping[str, str]) -> None:
        """Give the plugin what it has saved."""
        kept = {
            self.id_of(f"{ttl.URI}#{name}"): ctypes.create_string_buffer(v.encode())
            for name, v in state.items()
        }

        def retrieve(_: int, key: int, size, kind, how) -> int | None:  # type: ignore[no-untyped-def]
            value = kept.get(key)
            if value is None:
                return None
            size[0], kind[0], how[0] = len(value), self.id_of(_ATOM + "String"), 3
            return ctypes.addressof(value)

        assert self._state().restore(self.handle, _RETRIEVE(retrieve), None, 0, None) == 0

    def close(self) -> None:
        """Remove the instance."""
        if self._descriptor.deactivate:
            self._descriptor.deactivate(self.handle)
        self._descriptor.cleanup(self.handle)
