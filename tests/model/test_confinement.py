"""Each layer of the model process's rights, by the attack that it alone stops; and all of them together.

The attacks are Python here: what a program could do that has broken out of torch altogether.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rtsep.doctor import confined
from rtsep.model import confinement
from rtsep.model.confinement import CALLS, FILES, LAYERS, LIMITS, PRIVILEGES

ROOT = Path(__file__).resolve().parents[2]

STOPPED = ("PermissionError", "MemoryError", "ValueError", "ZeroDivisionError")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these layers are Linux's")

ATTACKER = f"""
import ctypes, json, os, resource, signal, socket, sys
sys.path.insert(0, {str(ROOT)!r})
from rtsep.model import confinement

secret, out, layers, attacks = sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4].split(",")
kept = os.open(out, os.O_RDWR)  # as the shared columns and masks are

def read_file():
    return open(secret).read()

def list_folder():
    return os.listdir(os.path.dirname(secret))

def write_kept_file():
    return os.write(kept, b"written")

def cut_kept_file():
    return os.ftruncate(kept, 0)

def write_new_file():
    with open(out + ".new", "w") as file:
        file.write("written")

def rename_file():
    os.rename(secret, secret + ".gone")

def send():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"secret", ("127.0.0.1", 9))

def fork():
    if os.fork() == 0:
        os._exit(0)
    return os.wait()[1]

def execute():
    os.execv(sys.executable, [sys.executable, "-c", "print(json.dumps('executed'))"])

def memory_file():
    return os.memfd_create("program")

def signal_parent():
    os.kill(os.getppid(), 0)

def trace_parent():
    if ctypes.CDLL(None, use_errno=True).ptrace(16, os.getppid(), 0, 0) != 0:  # PTRACE_ATTACH
        raise PermissionError(ctypes.get_errno())

def take_memory():
    held = bytearray(confinement.MEMORY + (64 << 20))
    return len(held)

def raise_limit():
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)
    return take_memory()

def gain_privileges():
    return "NoNewPrivs:\\t1" not in open("/proc/self/status").read() or 1 / 0

assert confinement.confine((1, 2), [layer for layer in layers if layer]) == []
for attack in attacks:
    try:
        globals()[attack]()
    except (OSError, MemoryError, ValueError, ZeroDivisionError) as error:
        print(json.dumps(type(error).__name__))
    else:
        print(json.dumps("done"))
"""


def attack(folder: Path, layers: list[str], *names: str) -> list[str]:
    """Return for each attack "done" if it succeeds under these layers, else the kind of its error."""
    secret, out = folder / "secret", folder / "out"
    secret.write_text("secret")
    out.write_bytes(b"")
    command = [sys.executable, "-c", ATTACKER, str(secret), str(out), ",".join(layers), ",".join(names)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_this_kernel_has_every_layer():
    assert confinement.available() == dict.fromkeys(LAYERS, True)


@pytest.mark.parametrize(
    ("layer", "others", "names"),
    [
        (FILES, [PRIVILEGES, LIMITS, CALLS], ["read_file", "list_folder"]),
        (CALLS, [PRIVILEGES, LIMITS, FILES], ["send", "memory_file"]),
        (CALLS, [PRIVILEGES, FILES], ["write_kept_file", "cut_kept_file", "fork"]),  # `limits` stop some, too
        (LIMITS, [PRIVILEGES, FILES, CALLS], ["take_memory"]),
        (PRIVILEGES, [LIMITS], ["gain_privileges"]),  # the others do not come without it
    ],
    ids=["files", "calls", "calls-2", "limits", "privileges"],
)
def test_each_layer_stops_attacks_that_no_other_layer_stops(tmp_path, layer, others, names):
    assert attack(tmp_path, others, *names) == ["done"] * len(names)
    assert set(attack(tmp_path, list(dict.fromkeys([PRIVILEGES, layer])), *names)) <= set(STOPPED)


def test_all_layers_together_stop_every_attack(tmp_path):
    names = (
        "read_file", "list_folder", "write_kept_file", "cut_kept_file", "write_new_file", "rename_file",
        "send", "fork", "execute", "memory_file", "signal_parent", "trace_parent", "take_memory",
        "raise_limit", "gain_privileges",
    )  # fmt: skip
    outcomes = attack(tmp_path, list(LAYERS), *names)
    assert len(outcomes) == len(names) and set(outcomes) <= set(STOPPED), dict(
        zip(names, outcomes, strict=True)
    )
    assert (tmp_path / "secret").read_text() == "secret"
    assert (tmp_path / "out").read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "secret"]


def test_a_layer_that_is_not_there_is_told_and_the_others_are_taken(monkeypatch):
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from rtsep.model import confinement, landlock; "
        "landlock.version = lambda: 0; print(confinement.confine((1, 2))); import os\n"
        "try: os.memfd_create('x')\nexcept PermissionError: print('stopped')"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "['files']\nstopped\n"


def test_the_processor_time_limit_ends_a_process_and_can_be_moved():
    script = (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r}); from rtsep.model import confinement as c\n"
        "c.limit_processor_time(0)\n{move}\nuntil = time.process_time() + 2.5\n"
        "while time.process_time() < until: pass\nprint('done')"
    )
    code = {
        move: subprocess.run([sys.executable, "-c", script.replace("{move}", move)], check=False).returncode
        for move in ("", "c.limit_processor_time(9)")
    }
    assert code == {"": -24, "c.limit_processor_time(9)": 0}


def test_the_doctor_tells_what_is_there_and_what_is_left_out():
    (whole,) = confined.rights(dict.fromkeys(LAYERS, True))
    assert whole.state == "ok"
    (none,) = confined.rights({PRIVILEGES: True, LIMITS: True, FILES: False, CALLS: False})
    assert none.state == "note" and "Landlock" in none.seen and "seccomp" in none.seen and none.remedy
    assert confined.rights()[0].state == "ok"


TICKING = """
import resource, sys, time
sys.path.insert(0, {root!r})
from rtsep.model import confinement as c

until = time.monotonic() + 4.0
while (now := time.monotonic()) < until:
    c.limit_processor_time(1.0)
    end = (now // 0.004 + 1) * 0.004
    time.sleep(max(0.0, end - 0.0007 - time.monotonic()))
    while time.monotonic() < end + 0.0001:
        pass
"""


def test_a_process_that_works_at_each_tick_is_not_taken_for_an_endless_loop():
    """The kernel counts the whole tick of 4 ms against the limit, `getrusage` the time of the work alone."""
    run = subprocess.run([sys.executable, "-c", TICKING.format(root=str(ROOT))], check=False)
    assert run.returncode == 0
