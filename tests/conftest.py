"""Shared settings: where compiled code is cached, how hard hypothesis tries."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.compiled_once import ROOT, use_the_tests_cache

use_the_tests_cache()  # before anything imports numba

# No test reads or writes what the user of this machine has set up. Child processes follow.
_HOME = tempfile.TemporaryDirectory(prefix="rtsep-tests-")
for _name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
    os.environ[_name] = str(Path(_HOME.name) / _name.lower())
os.environ["RTSEP_SOCKETS"] = str(Path(_HOME.name) / "sockets")

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from tests.repeats import pytest_collection_modifyitems, pytest_terminal_summary  # noqa: E402, F401

# Compilation happens inside first examples: no deadlines. Derandomised: two runs give the same result.
settings.register_profile(
    "quick",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "thorough", parent=settings.get_profile("quick"), derandomize=False, max_examples=400
)
settings.load_profile(os.environ.get("RTSEP_HYPOTHESIS", "quick"))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for model files that several tests share."""
    yield tmp_path_factory.mktemp("models")


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread can be started, as at the limit of the user (`ulimit -u`)."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


MODEL_IN_THE_TEST = ("benchmarks", "core", "dsp", "files", "offline", "train")
"""Folders whose tests load models in their own process: a process for each takes some 2 s of a core. Those of
`model`, `cli` and `e2e` have them as users do."""


@pytest.fixture(autouse=True)
def _model_in_the_test(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = request.path.relative_to(ROOT / "tests").parts[0]
    threads: list[int] = []  # of torch, before a model has set them

    def load_here(package: Any, device: str, *, graph: bool, real_time: bool) -> Any:
        import torch

        from rtsep.model import loader

        threads.append(torch.get_num_threads())
        return loader.load(package, device, graph=graph, own_thread=True)

    if folder in MODEL_IN_THE_TEST and not request.node.get_closest_marker("model_process"):
        monkeypatch.setattr("rtsep.model.remote.RemoteRunner", load_here)
    yield
    if threads:
        sys.modules["torch"].set_num_threads(threads[0])


@pytest.fixture(autouse=True)
def _denormals() -> Iterator[None]:
    """Undo what loading a model does to its thread: flushed denormals, which hypothesis rightly refuses."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
