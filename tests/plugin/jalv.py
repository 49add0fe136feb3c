"""jalv, a host of LV2 plugins on a JACK server, with the plugin."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.waiting import until

START_S = 120.0


class Jalv:
    """jalv with the plugin; `values` are what its output ports have said last."""

    def __init__(self, server: Any, bundle: Path) -> None:
        places = bundle.parent / "lv2"
        places.mkdir()
        (places / "rtsep.lv2").symlink_to(bundle)
        environment = server.environment | {"LV2_PATH": f"{places}:/usr/lib/lv2"}
        self.values: dict[str, float] = {}
        self._process = subprocess.Popen(
            ["stdbuf", "-oL", "jalv", "-x", "-n", "plugin", "urn:rtsep:plugin"],
            env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._said.append(line)
            if found := re.search(r"(\w+) = (-?[\d.]+)", line):
                self.values[found[1]] = float(found[2])

    def until(self, name: str, value: float) -> None:
        """Wait until an output port has this value."""

        def there() -> bool:
            self.ask()
            return self.values.get(name) == value

        until(there, f"{name} should be {value}: {self._said}", START_S, every_s=0.2)
        self.ask()

    def ask(self) -> None:
        """Have the output ports printed, and wait for that."""
        assert self._process.stdin
        before = len(self._said)
        self._process.stdin.write("monitors\n")
        self._process.stdin.flush()
        until(lambda: any("late =" in line for line in self._said[before:]), f"{self._said}")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
