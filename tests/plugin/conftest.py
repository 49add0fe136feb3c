"""The plugin, built once; engines and hosts that are gone when the test is."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rtsep.model.package import read_package
from rtsep.plugin import bundle as bundles
from rtsep.plugin import ttl
from rtsep.realtime.child_process import command_of
from tests.models import make_model
from tests.plugin.lv2host import Host

NO_ENGINE = ("sh", "-c", "cat > /dev/null")
"""Ends with the plugin, as an engine does, and does nothing else."""

ENGINE = tuple(command_of("rtsep.cli.main"))

needs_a_compiler = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which(os.environ.get("CC", "cc").split()[0]) is None
    or not Path("/usr/include/lv2").is_dir(),
    reason="needs a C compiler and LV2's headers (apt-get install gcc libc6-dev lv2-dev)",
)  # fmt: skip


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled plugin."""
    place = tmp_path_factory.mktemp("plugin") / "rtsep.so"
    bundles.compile_plugin(place, ("-Wall", "-Wextra", "-Werror", "-Wno-unused-const-variable"))
    return place


@pytest.fixture
def make_bundle(binary: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a bundle for one model file: `make_bundle(model, rates=(48000,), engine=ENGINE)`.

    Without a model, it notes one of hops of 256 frames and a stream delay of 256.
    """

    def make(
        model: Path | None = None, rates: tuple[int, ...] = (48000,), engine: tuple[str, ...] = ENGINE
    ) -> Path:
        folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        shutil.copy(binary, folder)
        if model:
            package = read_package(model)
            lines = bundles.model_lines([package], rates).replace(f"{model.stem}\t", f"{model}\t")
        else:
            lines = "".join(f"none\t{'0' * 64}\t{rate}\t256\t256\n" for rate in rates)
        (folder / "manifest.ttl").write_text(ttl.manifest_ttl())
        (folder / "rtsep.ttl").write_text(ttl.plugin_ttl("1.0.0"))
        (folder / "models").write_text(lines)
        (folder / "engine").write_text("".join(f"{word}\n" for word in engine))
        return folder

    return make


@pytest.fixture
def start_host() -> Iterator[Callable[..., Host]]:
    """Starts hosts: `start_host(bundle, rate=48000, block=512)`."""
    with ExitStack() as stack:

        def start(*arguments: Any, **how: Any) -> Host:
            host = Host(*arguments, **how)
            stack.callback(host.close)
            return host

        yield start


@pytest.fixture
def counting_model(tmp_path: Path) -> Path:
    """A model whose masks tell a lost, doubled or reordered column, or a reset."""
    return make_model(tmp_path / "count.pt", "state-counter")
