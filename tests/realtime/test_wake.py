import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rtsep.realtime
from rtsep.realtime import mask_exchange as rings
from rtsep.realtime import wake
from tests.realtime import wake_check

FOLDER = Path(rtsep.realtime.__file__).parent
ROOT = FOLDER.parents[1]
SYSTEMS = ["linux", "darwin", "windows", "poll"]


@pytest.mark.parametrize("check", wake_check.CHECKS, ids=lambda check: check.__name__)
def test_this_systems_wake_up(check):
    check()


def test_polling_does_the_same_and_shares_compiled_code_with_the_rest():
    shared = rings.MaskExchange.create(1, 9)  # compiles and caches with real handles
    rings.publish_column(shared.exchange, 0)
    rings.await_column(shared.exchange, 1, 1, np.zeros(2, np.int64))
    rings.publish_mask(shared.exchange, 0)
    shared.close()
    child = subprocess.run(
        [sys.executable, "-m", "tests.realtime.wake_check"],
        env=os.environ | {"RTSEP_WAKE": "poll"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (child.returncode, child.stdout.strip()) == (0, "polling"), child.stderr


def test_linux_uses_futexes_unless_told_otherwise():
    if sys.platform == "linux" and "RTSEP_WAKE" not in os.environ:
        assert wake.NAME == "futex"
        assert wake.Semaphore().handle != 0
    else:
        pytest.skip("not Linux, or told otherwise")


def surface(module):
    """Return what a module defines at its top, with the arguments of functions and methods."""
    tree = ast.parse((FOLDER / f"wake_{module}.py").read_text())
    names = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names[node.name] = [a.arg for a in node.args.args]
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    names[f"{node.name}.{method.name}"] = [a.arg for a in method.args.args]
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    names[target.id] = None
    return {
        name: arguments for name, arguments in names.items() if not name.startswith("_") and name != "POLL_NS"
    }


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_offers_the_same_names_with_the_same_arguments(system):
    compile((FOLDER / f"wake_{system}.py").read_text(), system, "exec")
    assert surface(system) == surface("poll")
    assert set(wake.__all__) - {"SCRATCH"} == {name.split(".")[0] for name in surface(system)}


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_systems_shared_semaphore_takes_a_cache_line(system):
    tree = ast.parse((FOLDER / f"wake_{system}.py").read_text())
    sizes = [
        n.value.value
        for n in tree.body
        if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "SHARED_BYTES"
    ]
    assert sizes == [64] == [wake.SHARED_BYTES]
