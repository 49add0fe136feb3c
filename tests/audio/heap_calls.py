"""Finds calls of memory allocators in compiled code, by walking the calls of its LLVM module.

`look_at_all` compiles the whole audio path and returns its findings: every compiled function of the packages
in AUDIO_PATH that holds no GIL, and every C callback. It needs a process whose numba cache is empty,
as numba shows no LLVM for code that it loads from its cache. Run as a program, it prints that as JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher

AUDIO_PATH = ("rtsep.audio", "rtsep.dsp", "rtsep.pipeline", "rtsep.plugin", "rtsep.realtime")
"""Packages and modules whose compiled functions run between two calls of a device."""

SYSTEM_CALLS = {
    "clock_gettime", "nanosleep", "syscall",  # of futexes, see `rtsep.realtime.wake_linux`
    "jack_port_get_buffer", "jack_port_get_latency_range", "jack_port_set_latency_range",
    "jack_get_sample_rate",
    "getrlimit", "raise", "sched_getscheduler", "sched_setscheduler", "setrlimit", "signal",
}  # fmt: skip
"""Functions of the system that the audio path may call: none of them allocates. The last line is what the
handler of a signal calls where a thread has had its time."""

SERVER_CALLS = {
    "pa_context_get_state", "pa_mainloop_dispatch", "pa_mainloop_poll", "pa_mainloop_prepare",
    "pa_stream_drop", "pa_stream_get_buffer_attr", "pa_stream_get_device_index",
    "pa_stream_get_state", "pa_stream_peek", "pa_stream_writable_size",
    "pa_stream_write",
}  # fmt: skip
"""Functions of libpulse, which may allocate: on the thread of our stream, not of a driver, between blocks."""

ARITHMETIC = {"exp", "expf", "floor", "ldexp", "log", "memcpy", "memmove", "memset", "pow", "powf"}

REFERENCES = {"NRT_incref", "NRT_decref"}
"""Views count the references to an array; memory is freed with the last one, which the caller holds."""


def heap_calls(function: Any) -> list[str]:
    """Return every unknown call of a compiled function, or of what it calls: "caller > ... > callee".

    `function` is a numba dispatcher, all of whose overloads are looked at, or a `cfunc`. Unknown is what is
    neither compiled with it nor in the lists above: a new system call is to be thought about once.
    Raises `ValueError` where there is no LLVM to look at.
    """
    found: list[str] = []
    for entry, text in _compiled(function):
        module = llvm.parse_assembly(text)
        defined = {f.name: f for f in module.functions if not f.is_declaration}
        if entry not in defined:
            raise ValueError(f"no LLVM for {entry}: it came from numba's cache")
        ways, seen = [(entry,)], {entry}
        while ways:
            way = ways.pop()
            for callee in _callees(defined[way[-1]]):
                if callee in defined and callee not in REFERENCES:
                    if callee not in seen:
                        seen.add(callee)
                        ways.append((*way, callee))
                elif not _is_known(callee):
                    found.append(" > ".join(map(_short, (*way, callee))))
    return sorted(set(found))


def _compiled(function: Any) -> Iterator[tuple[str, str]]:
    """Yield the name in LLVM and the module's text of each compiled form."""
    if isinstance(function, CFunc):
        # Not the wrapper around it, whose only other code prints an exception.
        yield function.native_name.removeprefix("cfunc."), function.inspect_llvm()
        return
    if not function.overloads:
        raise ValueError(f"{function.py_func.__name__} is not compiled")
    for signature, result in function.overloads.items():
        yield result.fndesc.llvm_func_name, function.inspect_llvm(signature)


def _callees(function: llvm.ValueRef) -> Iterator[str]:
    for block in function.blocks:
        for instruction in block.instructions:
            if instruction.opcode in ("call", "invoke"):
                *_, callee = instruction.operands  # the callee comes last
                # A pointer without a name is a call that cannot be followed: it counts as unknown.
                yield callee.name or f"pointer {str(instruction).strip()}"


def _is_known(callee: str) -> bool:
    return callee.startswith("llvm.") or callee in SYSTEM_CALLS | SERVER_CALLS | ARITHMETIC | REFERENCES


def _short(name: str) -> str:
    """Return the Python name in a name that numba has mangled, `_ZN5rtsep3dsp4stft7analyseB2v1...`."""
    parts, rest = [], name.removeprefix("_ZN")
    while rest and rest[0].isdigit() and rest != name:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        end = digits + int(rest[:digits])
        parts.append(rest[digits:end])
        rest = rest[end:]
    return parts[-1] if parts else name


def audio_path() -> dict[str, Any]:
    """Return what `compiled_in` finds in all modules of AUDIO_PATH."""
    return {name: function for module in _modules() for name, function in compiled_in(module).items()}


def compiled_in(module: ModuleType) -> dict[str, Any]:
    """Return a module's C callbacks and its functions that run without the GIL, by their full name."""
    found: dict[str, Any] = {}
    for value in vars(module).values():
        if isinstance(value, CFunc):
            python = value._pyfunc
        elif isinstance(value, Dispatcher) and value.targetoptions.get("nogil"):
            python = value.py_func
        else:
            continue
        found[f"{python.__module__}.{python.__qualname__}"] = value
    return found


def _modules() -> Iterator[ModuleType]:
    for name in AUDIO_PATH:
        yield (module := importlib.import_module(name))
        for part in pkgutil.iter_modules(getattr(module, "__path__", [])):
            try:
                yield importlib.import_module(f"{name}.{part.name}")
            except (AttributeError, OSError):  # another system's, or without its library
                continue


def _compile_all() -> None:
    from rtsep.audio.pulse_backend import PulseBackend
    from rtsep.audio.virtual import VirtualBackend
    from rtsep.plugin.hops import compile_loop
    from rtsep.realtime import mask_exchange, wake_poll
    from tests.audio.bench import Bench, one_clock

    bench = Bench(one_clock(256), lambda number, column: 0.5)
    bench.engine.compile()
    VirtualBackend().compile()
    with contextlib.suppress(OSError):  # no libpulse here
        PulseBackend().compile()
    scratch = np.zeros(2, np.int64)
    compile_loop(bench.engine.spec, 48000, bench.shared.exchange)
    # The model's side, and the wake-up of systems without another.
    mask_exchange.await_column(bench.shared.exchange, 0, 0, scratch)
    mask_exchange.publish_mask(bench.shared.exchange, 0)
    mask_exchange.await_mask(bench.shared.exchange, 0, 0, scratch)
    wake_poll.post(0)
    wake_poll.wait(0, 0, scratch)
    bench.shared.close()


def look_at_all() -> dict[str, list[str] | None]:
    """Return the unknown calls of each function of the audio path, by its name; None: it is not compiled."""
    _compile_all()
    return {
        name: heap_calls(function) if isinstance(function, CFunc) or function.overloads else None
        for name, function in audio_path().items()
    }


if __name__ == "__main__":
    json.dump(look_at_all(), sys.stdout)
