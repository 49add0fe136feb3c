"""The session that is soaked: `rtsep live` in a process of its own, controlled by attached programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rtsep.surfaces.remote import place
from rtsep.surfaces.remote.session import RemoteSession
from tests.e2e.liveprocess import LiveProcess
from tests.e2e.rig import STEM_PORTS
from tests.models import make_model
from tests.soak.beside import Beside
from tests.soak.rigs import Rig

NAME, CLIENT, CLICKS = "soak", "rtsep", "clicks"

BACK_S = 90.0
"""Maximum time until it plays with a model after a fault: a loaded machine starts a model process."""

PRESETS = {
    "home": "threshold = 0\nvocals_gain = 0\ninstrumental_gain = 0\n",
    "soft": "threshold = 0.2\nvocals_gain = -3\ninstrumental_gain = -3\n",
    "split": 'threshold = 0.4\nmask = "binary"\nvocals_gain = -1\n',
}
"""Each lets enough of a click through, on the sum of both stems. "home" is how it plays at first."""


class Soaked:
    """The session and its surroundings."""

    def __init__(self, rig: Rig, clicks: Beside, folder: Path) -> None:
        self.rig, self.clicks, self.folder = rig, clicks, folder
        self.models = [make_model(folder / f"{kind}.pt", kind) for kind in ("half", "ones")]
        presets = folder / "config" / "rtsep" / "presets"
        presets.mkdir(parents=True)
        for name, text in PRESETS.items():
            (presets / f"{name}.toml").write_text(text)
        os.environ[place.ELSEWHERE] = str(folder / "sockets")
        words = ["--in", "mic", "--out", "both", "--model", str(self.models[0]), "--session", NAME]
        if rig.midi:
            words += ["--midi", f"{CLICKS}-out"]
        homes = {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_STATE_HOME": str(folder / "state")}
        environment = {**rig.environment, **homes, place.ELSEWHERE: os.environ[place.ELSEWHERE]}
        self.live = LiveProcess(*words, environment=environment)

    @property
    def line(self) -> dict[str, Any]:
        """The latest figures, at most a second old where it plays."""
        return self.live.lines[-1] if self.live.lines else {}

    def start(self) -> None:
        """Wait until it plays, and connect the clicks."""
        self.live.playing()
        self.back()
        self.connect()

    def connect(self) -> None:
        """Lead the clicks through it: both stems into one port, which adds them up."""
        cables = [(f"{CLICKS}-out:out", f"{CLIENT}:in_{k}") for k in range(2)]
        cables += [(f"{CLIENT}:{port}", f"{CLICKS}-in:in") for port in STEM_PORTS if port.endswith("_L")]
        for source, target in cables:
            self.live.wait_for(
                lambda s=source, t=target: self.clicks.ask(f"connect {s} {t}").get("code", 0) == 0,
                f"{source} -> {target}",
            )

    def back(self) -> None:
        """Wait until it plays with a model; raises `AssertionError` where it does not within BACK_S."""
        seen = self.line.get("hops", 0)
        self.live.wait_for(
            lambda: (
                self.line.get("state") == "playing"
                and self.line["model"]["ready"]
                and self.line["hops"] > seen
            ),
            "it should play with its model again",
            BACK_S,
        )

    def attached(self, **how: Any) -> RemoteSession:
        """Return an attachment to it, a context manager."""
        return RemoteSession(NAME, **how)

    def trim(self) -> None:
        """Forget old lines: this process plays as long as the other one."""
        self.live.forget(lines=3, said=200)
