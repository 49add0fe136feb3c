"""The pictures of docs/terminal.md: `python -m tests.surfaces.view.pictures` draws them, tests compare."""

from __future__ import annotations

import re
from pathlib import Path

from tests.surfaces.view.harness import ViewHarness, with_view

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "screens"

SIZES = {"live-80x24": (80, 24), "live-120x40": (120, 40)}


async def scene(harness: ViewHarness) -> None:
    """A moment of a performance: a song under way, a take running, knobs, keys and a preset having moved."""
    controls = harness.controls
    controls.set("instrumental_gain", -9.0, "preset")
    controls.set("smoothing", 20, "preset")
    await harness.play(3.0)
    controls.set("threshold", 0.35, "MIDI")
    harness.view.show_line("preset 'chorus' (program 1)")
    await harness.press("r")
    assert harness.player.recording
    harness.player.recording["seconds"] = 83.0
    await harness.press("down", "down", "2")
    await harness.play(5.0)


def draw(name: str) -> str:
    """Return the picture `name` as SVG."""
    drawn: list[str] = []

    async def act(harness: ViewHarness) -> None:
        await scene(harness)
        drawn.append(tidy(harness.view.export_screenshot(simplify=True)))

    with_view(act, SIZES[name])
    return drawn[0]


def tidy(svg: str) -> str:
    """Return `svg` without parts that differ between runs, fetch fonts, or repeat a thousand times."""
    svg = re.sub(r"@font-face \{.*?\}\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r"terminal-\d+", "t", svg)
    svg = svg.replace(' shape-rendering="crispEdges"', "")
    styles = dict(re.findall(r"\.t-(r\d+) \{ (.*?) \}", svg))
    names = {number: "c" + re.sub(r"\W", "", style.replace("fill: ", "")) for number, style in styles.items()}
    svg = re.sub(r"\bt-(r\d+)\b", lambda found: names[found[1]], svg)  # by its style, not by its turn
    svg = re.sub(r' clip-path="url\(#t-line-\d+\)"', "", svg)
    svg = re.sub(r'<clipPath id="t-line-\d+">.*?</clipPath>', "", svg, flags=re.DOTALL)
    svg = svg.replace("</style>", "rect { shape-rendering: crispEdges }\n    </style>", 1)
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


def elements(svg: str) -> list[str]:
    """Return what a picture is made of."""
    return re.findall(r"<rect [^>]*>|<text [^>]*>[^<]*", svg)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for picture in SIZES:
        (FOLDER / f"{picture}.svg").write_text(draw(picture))
