"""Limits and processors, from Linux's /proc and /sys. On other systems these checks find nothing.

Every check takes the root of the file system, so that a test can provide its own.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

from rtsep.doctor.finding import Finding, note, ok, problem

ROOT = Path("/")
PRIORITY = 70
"""Highest real-time priority of a session; a test compares it with the session's."""

LOCKED_MB = 3072
"""Address space of a session or its model process in MB, with growth; locking memory needs this limit."""

_SYS_NICE, _IPC_LOCK = 23, 14  # bits of CapEff
_LIMITS_FILE = "/etc/security/limits.d/audio.conf"
_JOIN = f"put your user into the group 'audio', write '@audio - {{}}' to {_LIMITS_FILE}, and log in again"
_DRIVERS_THAT_SCALE = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")
"""Drivers whose 'powersave' follows the load nearly as fast as 'performance'."""


def realtime(root: Path = ROOT) -> list[Finding]:
    """Check whether the user may use real-time priority."""
    name = "real-time priority"
    limit = _limit(root, "Max realtime priority")
    if limit is None:
        return []
    if _capable(root, _SYS_NICE):
        granted = math.inf
    else:
        granted = limit
    runtime = _number(root / "proc/sys/kernel/sched_rt_runtime_us")
    if runtime == 0:
        return [
            problem(
                name,
                "the kernel gives real-time threads no time (sched_rt_runtime_us is 0)",
                "run 'sysctl -w kernel.sched_rt_runtime_us=950000' as root",
            )
        ]
    if granted >= PRIORITY:
        return [ok(name, "granted" if math.isinf(granted) else f"granted up to {granted:.0f}")]
    return [
        problem(
            name,
            f"the limit is {granted:.0f}, but rtsep needs {PRIORITY}: other programs can delay the audio",
            _JOIN.format("rtprio 95"),
        )
    ]


def locked_memory(root: Path = ROOT) -> list[Finding]:
    """Check whether the user may lock memory."""
    name = "locked memory"
    limit = _limit(root, "Max locked memory")
    if limit is None:
        return []
    if _capable(root, _IPC_LOCK) or math.isinf(limit):
        return [ok(name, "without a limit")]
    megabytes = limit / 2**20
    if megabytes >= LOCKED_MB:
        return [ok(name, f"up to {megabytes:.0f} MB")]
    return [
        problem(
            name,
            f"the limit is {megabytes:.3g} MB, but {LOCKED_MB} may be needed: swapped memory causes gaps",
            _JOIN.format("memlock unlimited"),
        )
    ]


def governor(root: Path = ROOT) -> list[Finding]:
    """Check whether the processors keep their speed."""
    name = "CPU governor"
    folders = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq"))
    governors = Counter(_text(folder / "scaling_governor") for folder in folders)
    governors.pop("", None)
    if not governors:
        return []
    seen = ", ".join(f"{word} on {count}" for word, count in sorted(governors.items()))
    drivers = {_text(folder / "scaling_driver") for folder in folders}
    slow = {"powersave", "conservative", "userspace"} & set(governors)
    remedy = "run 'cpupower frequency-set -g performance' as root, or choose the profile 'performance'"
    if not slow:
        return [ok(name, seen)]
    if slow == {"powersave"} and drivers <= set(_DRIVERS_THAT_SCALE):
        return [note(name, f"{seen}; {drivers.pop()} raises the speed within milliseconds", remedy)]
    return [problem(name, f"{seen}: a hop may take several times as long", remedy)]


def cores(root: Path = ROOT) -> list[Finding]:
    """Check how many processors this process may use."""
    name = "processors"
    allowed = _count(_field(root / "proc/self/status", "Cpus_allowed_list"))
    if allowed is None:
        return []
    quota = _quota(root)
    usable = min(allowed, quota)
    seen = f"{allowed} may be used" if quota >= allowed else f"{allowed}, limited to the time of {quota:.2g}"
    if usable < 2:
        return [
            problem(
                name,
                f"{seen}: the model and the audio share one",
                "allow two or more (virtual machine, container, taskset), or use '--model live --block 512'",
            )
        ]
    return [ok(name, seen)]


def _limit(root: Path, name: str) -> float | None:
    """Return the soft limit of this process with this name in /proc, in its unit; None if missing."""
    found = re.search(rf"^{name}\s+(\S+)", _text(root / "proc/self/limits"), re.MULTILINE)
    if found is None:
        return None
    return math.inf if found[1] == "unlimited" else float(found[1])


def _capable(root: Path, bit: int) -> bool:
    mask = _field(root / "proc/self/status", "CapEff")
    return bool(mask) and bool(int(mask, 16) >> bit & 1)


def _quota(root: Path) -> float:
    """Return the number of processors that the control group may use."""
    words = _text(root / "sys/fs/cgroup/cpu.max").split()
    if len(words) == 2 and words[0] != "max":
        return float(words[0]) / float(words[1])
    return math.inf


def _count(ranges: str) -> int | None:
    """Return the count of numbers in ranges such as `0-3,6`."""
    if not ranges:
        return None
    count = 0
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return count


def _field(path: Path, name: str) -> str:
    found = re.search(rf"^{name}:\s*(\S+)", _text(path), re.MULTILINE)
    return found[1] if found else ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
