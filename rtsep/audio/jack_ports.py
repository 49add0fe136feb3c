"""What PortAudio cannot say to a JACK server: the period, and ports with names a musician can patch."""

from __future__ import annotations

import contextlib
from typing import Any

from rtsep.dsp.router import FEEDS

SIDES = ("L", "R")


def _client(name: str) -> Any:
    import jack

    jack.set_error_function(lambda _: None)
    jack.set_info_function(lambda _: None)
    return jack.Client(name, no_start_server=True)


def period() -> int | None:
    """Return the server's frames per period, or None where no server answers."""
    try:
        client = _client("rtsep-query")
    except Exception:
        return None
    try:
        return int(client.blocksize)
    finally:
        client.close()


def free_client_name(wanted: str) -> str:
    """Return `wanted`, or `wanted-2`, ... where another client of the server has it."""
    try:
        client = _client("rtsep-query")
    except Exception:
        return wanted
    try:
        taken = {port.name.split(":")[0] for port in client.get_ports()}
    finally:
        client.close()
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


def output_names(out_map: tuple[int, ...], channels: int) -> list[str]:
    """Return a port name for each device channel: `vocals_L`, `instrumental_R`, `mix_3`, `silence_1`."""
    names: list[str] = []
    for device, source in enumerate(out_map):
        if source < 0:
            names.append(f"silence_{device + 1}")
            continue
        feed, channel = FEEDS[source // channels], source % channels
        # One channel on both sides of a pair: the first place is the left one.
        side = out_map[:device].count(source) if channels == 1 else channel
        name = f"{feed}_{SIDES[side]}" if channels <= 2 and side < 2 else f"{feed}_{channel + 1}"
        names.append(name if name not in names else f"{name}_{device + 1}")
    return names


def name_outputs(client_name: str, names: list[str], connect: bool) -> None:
    """Rename PortAudio's `client_name:out_0 ...` to `names`; undo its own connections unless `connect`.

    Inputs keep PortAudio's `in_0`, `in_1`. Without a server, or where names are taken, nothing happens:
    names are a comfort.
    """
    try:
        client = _client(f"{client_name}-names")
    except Exception:
        return
    with contextlib.suppress(Exception):
        if not connect:
            for port in client.get_ports(is_audio=True):
                if not port.name.startswith(f"{client_name}:"):
                    continue
                for other in client.get_all_connections(port):
                    ends = (other, port) if port.is_input else (port, other)
                    client.disconnect(*ends)
        for index, name in enumerate(names):
            client.get_port_by_name(f"{client_name}:out_{index}").shortname = name
    client.close()
