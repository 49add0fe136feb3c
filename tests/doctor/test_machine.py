"""Limits and processors: what the probes find in trees of /proc and /sys that are made for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtsep.audio import engine, virtual
from rtsep.doctor import machine

LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max locked memory         {memlock}            {memlock}            bytes
Max nice priority         0                    0
Max realtime priority     {rtprio}             {rtprio}
"""
ALL_CAPABILITIES = "000001ffffffffff"


@pytest.fixture
def root(tmp_path) -> Path:
    """A machine of four processors and a plain user with all limits raised."""
    plant(tmp_path, "proc/self/limits", LIMITS.format(memlock="unlimited", rtprio=95))
    status(tmp_path, cpus="0-3")
    plant(tmp_path, "proc/sys/kernel/sched_rt_runtime_us", "950000")
    for cpu in range(4):
        set_governor(tmp_path, cpu, "performance", "acpi-cpufreq")
    return tmp_path


def plant(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text + "\n")


def status(root: Path, cpus: str, capabilities: str = "0" * 16) -> None:
    plant(root, "proc/self/status", f"Name:\trtsep\nCapEff:\t{capabilities}\nCpus_allowed_list:\t{cpus}")


def set_governor(root: Path, cpu: int, governor: str, driver: str) -> None:
    plant(root, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", governor)
    plant(root, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_driver", driver)


def test_a_machine_that_is_set_up_needs_nothing(root):
    probes = (machine.realtime, machine.locked_memory, machine.governor, machine.cores)
    found = [finding for probe in probes for finding in probe(root)]
    assert [finding.state for finding in found] == ["ok"] * 4
    assert not any(finding.remedy for finding in found)


def test_where_the_kernel_tells_nothing_nothing_is_found(tmp_path):
    for probe in (machine.realtime, machine.locked_memory, machine.governor, machine.cores):
        assert probe(tmp_path) == []


def test_the_priority_is_that_of_the_session():
    assert max(engine.PRIORITY, virtual.PRIORITY) == machine.PRIORITY


@pytest.mark.parametrize(("rtprio", "state"), [(0, "problem"), (69, "problem"), (70, "ok")])
def test_realtime_priority(root, rtprio, state):
    plant(root, "proc/self/limits", LIMITS.format(memlock=0, rtprio=rtprio))
    (found,) = machine.realtime(root)
    assert found.state == state
    assert ("rtprio" in found.remedy) == (state == "problem")


def test_a_capability_is_worth_more_than_limits(root):
    plant(root, "proc/self/limits", LIMITS.format(memlock=65536, rtprio=0))
    status(root, "0-3", ALL_CAPABILITIES)
    assert machine.realtime(root)[0].state == "ok"
    assert machine.locked_memory(root)[0].state == "ok"


def test_a_kernel_that_gives_realtime_threads_no_time(root):
    plant(root, "proc/sys/kernel/sched_rt_runtime_us", "0")
    (found,) = machine.realtime(root)
    assert found.state == "problem"
    assert "sched_rt_runtime_us" in found.remedy
    plant(root, "proc/sys/kernel/sched_rt_runtime_us", "-1")  # without a bound
    assert machine.realtime(root)[0].state == "ok"


@pytest.mark.parametrize(
    ("memlock", "state"),
    [(8 * 2**20, "problem"), (2**30, "problem"), (2**32, "ok"), ("unlimited", "ok"), (65536, "problem")],
)
def test_locked_memory(root, memlock, state):
    plant(root, "proc/self/limits", LIMITS.format(memlock=memlock, rtprio=0))
    (found,) = machine.locked_memory(root)
    assert found.state == state
    assert ("memlock" in found.remedy) == (state == "problem")


@pytest.mark.parametrize(
    ("governor", "driver", "state"),
    [
        ("powersave", "acpi-cpufreq", "problem"),
        ("powersave", "intel_pstate", "note"),
        ("conservative", "intel_pstate", "problem"),
        ("schedutil", "acpi-cpufreq", "ok"),
    ],
)
def test_governor(root, governor, driver, state):
    set_governor(root, 2, governor, driver)
    for cpu in (0, 1, 3):
        set_governor(root, cpu, "performance", driver)
    (found,) = machine.governor(root)
    assert found.state == state
    assert f"{governor} on 1" in found.seen
    assert "performance on 3" in found.seen


@pytest.mark.parametrize(
    ("cpus", "quota", "state"),
    [
        ("0-3", "max 100000", "ok"),
        ("3", "max 100000", "problem"),
        ("0,2", "max 100000", "ok"),
        ("0-3", "150000 100000", "problem"),
        ("0-3", "200000 100000", "ok"),
    ],
)
def test_processors(root, cpus, quota, state):
    status(root, cpus)
    plant(root, "sys/fs/cgroup/cpu.max", quota)
    (found,) = machine.cores(root)
    assert found.state == state
