"""The plugin's face and core without an engine: ports, delay, dry signal, state, where a render begins."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.controls import BY_NAME, TABLE
from rtsep.dsp.router import BUS, FEEDS, INSTRUMENTAL, MIX, SOURCES, VOCALS, feed_levels
from rtsep.plugin import layout, ttl
from rtsep.plugin.bundle import source_folder
from rtsep.plugin.layout import Memory, map_memory
from tests.plugin.conftest import NO_ENGINE, needs_a_compiler
from tests.plugin.lv2host import DOWN, STARTING, Host
from tests.waiting import running, until

pytestmark = needs_a_compiler

RATE, BLOCK = 48000, 512
LATENCY = BLOCK + 2 * 256 - 1 + 64 + 256


def noise(frames: int, seed: int = 1) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal((2, frames))).astype(np.float32)


def delayed(sound: np.ndarray, frames: int) -> np.ndarray:
    return np.concatenate([np.zeros((2, frames), np.float32), sound], axis=1)[:, : sound.shape[1]]


def memories() -> list[Memory]:
    """Return what this process shares with engines, the oldest first."""
    found = []
    for link in sorted(Path("/proc/self/fd").iterdir(), key=lambda link: int(link.name)):
        try:
            target = str(link.readlink())
        except OSError:  # the descriptor of this listing
            continue
        if target.startswith("/memfd:rtsep-plugin"):
            found.append(map_memory(link.name))
    return found


@pytest.fixture
def host(make_bundle, start_host) -> Host:
    return start_host(make_bundle(engine=NO_ENGINE))


def test_python_and_c_agree_on_the_memory():
    text = (source_folder() / "layout.h").read_text()
    numbers = dict(re.findall(r"(\w+) = (\d+)", text))
    names = {"RTSEP_PROTOCOL": "PROTOCOL"}
    assert len(numbers) > 20
    assert {name: int(value) for name, value in numbers.items()} == {
        name: getattr(layout, names.get(name, name)) for name in numbers
    }


def test_every_control_is_a_port_of_its_range():
    text = ttl.plugin_ttl("1.2.3")
    ports = re.findall(r"\[\n        a (.*?)\n    \]", text, flags=re.DOTALL)
    assert [int(re.search(r"lv2:index (\d+)", port)[1]) for port in ports] == list(range(ttl.PORTS))
    for control, port in zip(TABLE, ports[ttl.PORT_CONTROLS :], strict=True):
        values = dict(re.findall(r"lv2:(symbol|default|minimum|maximum) \"?([\w.-]+)", port))
        assert values["symbol"] == control.name
        numbers = control.default, control.minimum, control.maximum
        assert [float(values[name]) for name in ("default", "minimum", "maximum")] == list(numbers)
        assert ("units:db" in port) == (control.unit == "dB")
        assert all(f'"{choice}"' in port for choice in control.choices)


def test_without_an_engine_the_dry_signal_comes_by_the_latency(host):
    sound = noise(9000)
    played = host.play(sound)
    assert host.latency == LATENCY
    np.testing.assert_array_equal(played[0:2], delayed(sound, LATENCY))
    np.testing.assert_array_equal(played[2:4], delayed(sound, LATENCY))
    assert not played[4:6].any()
    assert host.late == 0


@given(blocks=st.lists(st.integers(1, 8192), min_size=1, max_size=12), in_place=st.booleans())
def test_calls_of_any_size_are_one_stream(module_bundle, blocks, in_place):
    sound = noise(sum(blocks))
    host = Host(module_bundle, in_place=in_place)
    try:
        played = host.play(sound, blocks)
        assert host.latency == LATENCY
    finally:
        host.close()
    np.testing.assert_array_equal(played[0:2], delayed(sound, LATENCY))


@pytest.fixture(scope="module")
def module_bundle(binary, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "rtsep.so").symlink_to(binary)
    (folder / "models").write_text(f"none\t{'0' * 64}\t{RATE}\t256\t256\n")
    (folder / "engine").write_text("\n".join(NO_ENGINE))
    return folder


CHANGES = (
    {},
    {"vocals_gain": -6},
    {"vocals_mute": 1, "instrumental_gain": 3},
    {"vocals_solo": 1, "vocals_gain": -12},
    {"instrumental_solo": 1, "blend": 0.25},
    {"vocals_mute": 1, "instrumental_mute": 1},
    {"balance": 0, "vocals_gain": -144},
    {"balance": 1, "blend": 0.5},
    {"bypass": 1, "vocals_mute": 1, "balance": 0},
)


@pytest.mark.parametrize("values", CHANGES, ids=str)
def test_the_dry_signal_has_the_levels_of_a_network_that_is_missing(host, values):
    for name, value in values.items():
        host.set(name, value)
    sound = noise(LATENCY + 4 * BLOCK)
    played = host.play(sound)[:, -BLOCK:]
    levels, share = np.zeros((len(FEEDS), SOURCES)), np.zeros(len(FEEDS))
    share[[VOCALS, MIX, BUS]] = 1
    whole = {control.name: control.default for control in TABLE} | values
    feed_levels(np.array([whole[control.name] for control in TABLE]), 0.0, share, levels)
    dry = delayed(sound, LATENCY)[:, -BLOCK:]
    for place, feed in enumerate((BUS, VOCALS, INSTRUMENTAL)):
        np.testing.assert_allclose(played[2 * place : 2 * place + 2], levels[feed, 2] * dry, atol=1e-6)


def test_the_hosts_bypass_is_the_controls(host):
    host.values[ttl.PORT_ENABLED] = 0
    host.set("vocals_mute", 1)
    sound = noise(LATENCY + 4 * BLOCK)
    played = host.play(sound)[2:4]  # muted, but for the bypass
    np.testing.assert_array_equal(played[:, -BLOCK:], delayed(sound, LATENCY)[:, -BLOCK:])
    bypass = memories()[-1].slots[layout.SLOT_VALUES + [c.name for c in TABLE].index("bypass")]
    assert np.int64(bypass).view(np.float64) == 1


def test_the_engine_gets_values_that_its_controls_accept(host):
    given_values = {"vocals_gain": 99, "threshold": np.nan, "mask": 0.7, "blend": -np.inf, "bypass": 0.2}
    expected = {"vocals_gain": 12, "threshold": 0, "mask": 1, "blend": 0, "bypass": 0}
    for name, value in given_values.items():
        host.set(name, value)
    host.call(noise(BLOCK))
    bits = memories()[-1].slots[layout.SLOT_VALUES : layout.SLOT_VALUES + len(TABLE)]
    got = dict(zip((c.name for c in TABLE), bits.view(np.float64), strict=True))
    assert {name: got[name] for name in expected} == expected
    assert all(BY_NAME[name].check(value) == value for name, value in got.items())


def test_deactivate_forgets_the_sound(host):
    host.play(noise(4 * LATENCY))
    host.reset()
    sound = noise(4 * LATENCY, seed=2)
    np.testing.assert_array_equal(host.play(sound)[0:2], delayed(sound, LATENCY))


def test_more_frames_a_call_than_planned_play_dry_and_the_delay_stays(make_bundle, start_host):
    host = start_host(make_bundle(engine=NO_ENGINE), block=64)
    sound = noise(30000)
    played = host.play(sound, [64] * 10 + [8192, 1, 5000])
    assert host.latency == LATENCY - BLOCK + 64
    np.testing.assert_array_equal(played[0:2], delayed(sound, host.latency))


def test_a_new_block_length_is_followed(host):
    host.play(noise(4 * LATENCY))
    host.set_block(2048)
    sound = noise(8 * LATENCY, seed=2)
    played = host.play(sound)
    assert host.latency == LATENCY - BLOCK + 2048
    np.testing.assert_array_equal(
        played[0:2, host.latency :], delayed(sound, host.latency)[:, host.latency :]
    )


def test_the_model_is_saved_by_name_and_checksum_and_restored(make_bundle, start_host):
    bundle = make_bundle(engine=NO_ENGINE)
    with (bundle / "models").open("a") as file:
        file.write(f"other\t{'1' * 64}\t{RATE}\t512\t1024\n")
    first = start_host(bundle)
    assert first.save() == {"model": "none", "sha256": "0" * 64}
    first.restore({"model": "other", "sha256": "1" * 64})
    first.play(noise(4 * LATENCY))
    assert first.save() == {"model": "other", "sha256": "1" * 64}
    assert first.latency == BLOCK + 2 * 512 - 1 + 64 + 1024
    second = start_host(bundle)
    second.restore(first.save())
    second.play(noise(4 * LATENCY))
    assert (second.save(), second.latency) == (first.save(), first.latency)


@pytest.mark.parametrize(
    ("kind", "about"), [("Path", "model_file"), ("String", "model")], ids=["by a file", "by a name"]
)
def test_a_host_chooses_a_model_and_is_told(make_bundle, start_host, kind, about):
    bundle = make_bundle(engine=NO_ENGINE)
    chosen = "/models/mine.pt" if kind == "Path" else "mine"
    with (bundle / "models").open("a") as file:
        file.write(f"{chosen}\t{'1' * 64}\t{RATE}\t512\t1024\n")
    host = start_host(bundle)
    host.choose(chosen, kind, about)
    host.play(noise(4 * LATENCY))
    assert host.save() == {"model": chosen, "sha256": "1" * 64}
    assert host.latency == BLOCK + 2 * 512 - 1 + 64 + 1024
    file = {"model_file": chosen} if kind == "Path" else {}
    assert host.told == {"model": chosen, **file}

    host.restore({"model": "none", "sha256": "0" * 64})  # a preset; the chooser follows
    host.play(noise(4 * LATENCY))
    assert host.told == {"model": "none", **dict.fromkeys(file, "")}
    host.ask()
    host.play(noise(4 * LATENCY))
    assert host.told == {"model": "none", "model_file": ""}


def test_models_that_change_quickly_leave_nothing(make_bundle, start_host):
    """The threads of two links must not wait for each other to end."""
    bundle = make_bundle(engine=NO_ENGINE)
    with (bundle / "models").open("a") as file:
        file.write(f"other\t{'1' * 64}\t{RATE}\t512\t1024\n")
    host = start_host(bundle)
    for _ in range(8):
        for model in ("other", "none"):  # the second one waits for the first one's predecessor to be freed
            host.restore({"model": model})
            host.call(noise(16))
        until(lambda: host.play(noise(1600), [16] * 100) is not None and len(memories()) == 1, every_s=0)


@pytest.mark.parametrize("kind", ["Int", "URID"])
def test_a_message_of_another_kind_is_no_model(host, kind):
    before = host.save()
    host.choose("other", kind)
    host.choose("", "Path")
    host.play(noise(LATENCY))
    assert host.save() == before


def test_an_engine_that_does_not_start_is_said_and_the_dry_signal_passes(make_bundle, start_host):
    host = start_host(make_bundle(engine=("/nowhere/rtsep",)))
    host.until_engine(DOWN)
    sound = noise(4 * LATENCY)
    np.testing.assert_array_equal(host.play(sound)[0:2, LATENCY:], sound[:, :-LATENCY])
    until(lambda: any("cannot be started" in line for line in host.log))
    assert any("rtsep plugin install" in line for line in host.log)


def test_a_render_without_an_engine_goes_on_dry(make_bundle, start_host):
    host = start_host(make_bundle(engine=("false",)))
    host.free_wheel = True
    sound = noise(4 * LATENCY)
    np.testing.assert_array_equal(host.play(sound)[0:2], delayed(sound, LATENCY))


def test_no_engine_outlives_its_instance(make_bundle):
    before = set(children())
    hosts = [Host(make_bundle(engine=NO_ENGINE)) for _ in range(3)]
    until(lambda: len(set(children()) - before) == 3, "three engines should run")
    started = set(children()) - before
    for host in hosts:
        host.call(noise(BLOCK))
        assert host.engine == STARTING
        host.close()
    assert not any(running(pid) for pid in started)


def children() -> list[int]:
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has ended
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


# --- where a render begins: seen in the memory, as the engine would ---------------------------------------


def begins(host: Host) -> tuple[int, int]:
    """Return how many streams have begun, and the input frame of the last one."""
    slots = memories()[-1].slots
    return int(slots[layout.SLOT_STREAMS]), int(slots[layout.SLOT_STREAM_START])


@pytest.fixture
def refused(make_bundle, start_host) -> Host:
    """A host whose engine has refused: a render does not wait for it."""
    before = set(children())
    host = start_host(make_bundle(engine=NO_ENGINE))
    until(lambda: set(children()) - before, "the engine should be started: then nobody writes its state")
    memories()[-1].slots[layout.SLOT_STATE] = layout.STATE_REFUSED
    host.play(np.zeros((2, 1000), np.float32), [1000])
    return host


def test_a_render_begins_with_free_wheel(refused):
    before, _ = begins(refused)
    refused.free_wheel = True
    refused.play(noise(2000), [1000, 1000])
    assert begins(refused) == (before + 1, 1000)


def test_a_render_begins_where_the_host_rolls(refused):
    refused.free_wheel = True
    refused.play(np.zeros((2, 3000), np.float32))
    refused.position(4321)
    refused.play(noise(1000))
    assert begins(refused)[1] == 4000
    refused.position(4321 + 1000)  # as expected
    refused.play(noise(1000))
    assert begins(refused)[1] == 4000
    refused.position(99)  # a jump
    refused.play(noise(1000))
    assert begins(refused)[1] == 6000


def stand(host: Host, position: int, sound: np.ndarray, blocks: list[int]) -> int:
    """Play `sound` while the host reports a stop but its position moves; return the next position."""
    done = 0
    for frames in blocks:
        host.position(position + done, speed=0)
        host.call(sound[:, done : done + frames])
        done += frames
    return position + done


@pytest.mark.parametrize("quiet", [0, 1, 700, LATENCY], ids=lambda quiet: f"{quiet} frames of silence first")
def test_a_render_that_begins_earlier_by_the_latency_begins_there(refused, quiet):
    """Ardour reports a stop while its position moves, and plays the beginning of the render."""
    refused.free_wheel = True
    refused.call(np.zeros((2, 2000), np.float32))
    sound = noise(LATENCY + 3000)
    sound[:, :quiet] = 0
    silence = np.zeros((2, 700), np.float32)
    position = stand(refused, -LATENCY - 700, silence, [512, 188])
    position = stand(refused, position, sound, [512, LATENCY - 512])
    assert position == 0
    refused.position(0)
    refused.call(sound[:, LATENCY : LATENCY + 1024])
    assert begins(refused)[1] == 1000 + 2000 + 700


def test_a_render_through_further_latencies_begins_with_its_first_sound(refused):
    refused.free_wheel = True
    refused.call(np.zeros((2, 2000), np.float32))
    sound = noise(4000)
    position = stand(refused, -4000, np.zeros((2, 100), np.float32), [100])
    stand(refused, position, sound[:, :3900], [1000, 2000, 900])
    refused.position(0)
    refused.call(sound[:, 3900:])
    assert begins(refused)[1] == 1000 + 2000 + 100
