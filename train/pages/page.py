"""The listening page: one static HTML file that plays from a folder, without network or foreign scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from string import Template
from typing import Any

from train.pages.pictures import HIGH_HZ, LOW_HZ, RANGE_DB, TICKS_HZ, height_of
from train.score.scores import METRICS, TARGETS, TITLES, shown


@dataclass(frozen=True)
class Lane:
    """One sound of a track, or one picture of it."""

    title: str
    picture: str  # path beside the page
    sound: str | None = None  # path beside the page
    note: str = ""


@dataclass(frozen=True)
class Excerpt:
    """The sounds and pictures of one track on a page."""

    name: str
    start_s: float
    seconds: float
    whole_s: float
    lanes: tuple[Lane, ...]
    scores: dict[str, dict[str, float]] = field(default_factory=dict)  # by target, then metric


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --paper: #fbfaf8; --ink: #1d1d1f; --soft: #6a6a70; --line: #dedcd7;
  --card: #ffffff; --accent: #c2410c; }
@media (prefers-color-scheme: dark) { :root { --paper: #151517; --ink: #ececee; --soft: #9b9ba3;
  --line: #313136; --card: #1e1e21; --accent: #fb923c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 2rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 0; }
p { margin: .4rem 0; max-width: 100ch; }
.soft, figcaption { color: var(--soft); font-size: .88rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .9rem 1.5rem;
  margin: 1.2rem 0; padding: 1.1rem 1.25rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
.facts div { min-width: 0; } .facts .wide { grid-column: 1 / -1; }
dt { color: var(--soft); font-size: .78rem; text-transform: uppercase; letter-spacing: .05em; }
dd { margin: 0; overflow-wrap: anywhere; }
details summary { cursor: pointer; } details ul { margin: .4rem 0 0; padding-left: 1.2rem; font-size: .88rem;
  columns: 20rem; }
section { margin: 1.4rem 0; padding: 1.1rem 1.25rem 1.25rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; }
.head { display: flex; flex-wrap: wrap; gap: .2rem 1rem; align-items: baseline; margin-bottom: .7rem; }
table { border-collapse: collapse; font-size: .88rem; margin: 0 0 .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .12rem 1.1rem .12rem 0; text-align: right; font-weight: normal; }
th { color: var(--soft); } th:first-child, td:first-child { text-align: left; }
.lane { display: grid; grid-template-columns: 15.5rem 1fr; gap: .3rem 1rem; align-items: center;
  margin: 0 0 .6rem; }
.lane b { font-weight: 600; } .lane.now b { color: var(--accent); }
.lane b kbd { font: .75rem ui-monospace, monospace; color: var(--soft); border: 1px solid var(--line);
  border-radius: 4px; padding: 0 .35em; margin-right: .4em; }
audio { display: block; width: 100%; height: 2.2rem; margin-top: .25rem; }
.picture { position: relative; height: 118px; border-radius: 6px; overflow: hidden; cursor: pointer;
  background: #000; }
.picture img { display: block; width: 100%; height: 100%; }
.picture i { position: absolute; right: 5px; transform: translateY(50%); font: 10px/1 system-ui, sans-serif;
  color: #ffffffcc; text-shadow: 0 0 3px #000, 0 0 3px #000; pointer-events: none; }
.picture u { position: absolute; top: 0; bottom: 0; left: 0; width: 1.5px; background: #fff;
  box-shadow: 0 0 3px #000; pointer-events: none; }
@media (max-width: 720px) { .lane { grid-template-columns: 1fr; } .picture { height: 92px; }
  body { padding: 1.2rem .8rem 3rem; } section, .facts { padding: .9rem; } }
</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="soft">$description</p>
<dl class="facts">
$facts
</dl>
<p>All players of a track share one position: another player starts at the position of the last one.
Click into a picture to jump there; keys <b>1</b>&#8211;<b>4</b> switch the player, the space bar pauses and
continues. Pictures: $low Hz to $high kHz, one scale of $range dB for each track; mask: bright is voice.</p>
</header>
<main>
$tracks
</main>
<footer class="soft">$footer</footer>
<script>
"use strict";
let current = null;  // the latest player
const players = section => [...section.querySelectorAll("audio")];
function playAt(player, at) {
  if (at !== undefined) player.currentTime = at;
  player.play();
}
document.querySelectorAll("section").forEach(section => {
  section.at = 0;
  players(section).forEach(player => {
    player.addEventListener("play", () => {
      document.querySelectorAll("audio").forEach(other => { if (other !== player) other.pause(); });
      if (section.last && section.last !== player) player.currentTime = section.last.currentTime;
      section.last = current = player;
      document.querySelectorAll(".lane").forEach(lane => lane.classList.toggle("now", lane.contains(player)));
    });
    const moved = () => { if (section.last === player || !section.last) section.at = player.currentTime; };
    player.addEventListener("timeupdate", moved);
    player.addEventListener("seeking", () => {
      if (player.paused && section.last !== player) section.last = player;
      moved();
    });
  });
  section.querySelectorAll(".picture").forEach(picture => picture.addEventListener("click", event => {
    const box = picture.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width * section.dataset.seconds;
    const own = picture.parentElement.querySelector("audio");
    const player = own || section.last || players(section)[0];
    section.last = player;
    playAt(player, at);
  }));
});
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "AUDIO") return;
  const section = (current || document.querySelector("audio")).closest("section");
  const chosen = players(section)[Number(event.key) - 1];
  if (chosen) playAt(chosen);
  else if (event.key === " " && current) current.paused ? current.play() : current.pause();
  else return;
  event.preventDefault();
});
function draw() {
  document.querySelectorAll("section").forEach(section => {
    const at = section.last && !section.last.paused ? section.last.currentTime : section.at;
    section.querySelectorAll(".picture u").forEach(line => {
      line.style.left = 100 * Math.min(1, at / section.dataset.seconds) + "%";
    });
  });
  requestAnimationFrame(draw);
}
draw();
</script>
</body>
</html>
""")


def table_row(cells: Sequence[str], tag: str = "td") -> str:
    """Return a row of an HTML table of plain text."""
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def folded(summary: str, lines: Sequence[str], unfolded: bool = False) -> str:
    """Return an HTML list of plain text under a summary that folds it."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    start = "<details open>" if unfolded else "<details>"
    return f"{start}<summary>{escape(summary)}</summary><ul>{items}</ul></details>"


def page(card: dict[str, Any], excerpts: Sequence[Excerpt], skipped: Sequence[str]) -> str:
    """Return the HTML of a page with `excerpts` by the model that `card` describes."""
    return _PAGE.substitute(
        title=escape(f"Listening to {card['name']}"),
        description=escape(card["description"]),
        facts=_facts(card),
        tracks="\n".join(_section(excerpt) for excerpt in excerpts),
        low=f"{LOW_HZ:g}",
        high=f"{HIGH_HZ / 1000:g}",
        range=f"{RANGE_DB:g}",
        footer=_footer(skipped),
    )


def _facts(card: dict[str, Any]) -> str:
    rates = " and ".join(f"{rate / 1000:g}" for rate in card["rates"])
    facts = {
        "System": escape(card["system"]),
        "Latency": f"{card['latency_ms']:.1f} ms ({card['latency_samples']} samples)",
        "Parameters": f"{card['params']:,}",
        "Per hop": f"{card['macs_per_hop'] / 1e6:.2f} MMAC",
        "Plays at": f"{rates} kHz",
        "File": f"<span title='SHA-256'>{card['sha256'][:16]}</span>",
    }
    lines = [f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in facts.items()]
    licence = escape(card["licence"]) or "not stated"
    lines.append(f"<div class='wide'><dt>Licence</dt><dd>{licence}</dd></div>")
    if card["data"]:
        what = f"{len(card['data'])} sets of recordings, each with its licence"
        lines.append(f"<div class='wide'><dt>Trained on</dt><dd>{folded(what, card['data'])}</dd></div>")
    else:
        lines.append("<div class='wide'><dt>Trained on</dt><dd>not stated</dd></div>")
    return "\n".join(lines)


def _section(excerpt: Excerpt) -> str:
    if excerpt.seconds < excerpt.whole_s - 0.1:
        whole = f"of {_clock(excerpt.whole_s)}, "
        about = f"{excerpt.seconds:.0f} s {whole}from {_clock(excerpt.start_s)} on: with the most voice"
    else:
        about = f"{excerpt.seconds:.1f} s, the whole track"
    number = 0
    lanes = []
    for lane in excerpt.lanes:
        number += lane.sound is not None
        lanes.append(_lane(lane, number))
    return (
        f"<section data-seconds='{excerpt.seconds:.4f}'>\n"
        f"<div class='head'><h2>{escape(excerpt.name)}</h2><span class='soft'>{about}</span></div>\n"
        f"{_scores(excerpt.scores)}{''.join(lanes)}</section>"
    )


def _lane(lane: Lane, number: int) -> str:
    title = escape(lane.title)
    audio, key = "", ""
    if lane.sound is not None:
        key = f"<kbd>{number}</kbd>"
        audio = f"<audio controls preload='metadata' src='{escape(lane.sound)}' aria-label='{title}'></audio>"
    note = f"<div class='soft'>{escape(lane.note)}</div>" if lane.note else ""
    ticks = "".join(
        f"<i style='bottom:{100 * height_of(hertz):.1f}%'>{label}</i>" for hertz, label in TICKS_HZ.items()
    )
    return (
        f"<div class='lane'><div><b>{key}{title}</b>{note}{audio}</div>"
        f"<div class='picture'><img src='{escape(lane.picture)}' alt='picture of {title}'>{ticks}<u></u>"
        "</div></div>\n"
    )


def _scores(scores: dict[str, dict[str, float]]) -> str:
    if not scores:
        return ""
    heads = table_row(["dB, of this excerpt", *(TITLES[metric] for metric in METRICS)], "th")
    rows = (table_row([target, *(shown(scores[target][metric]) for metric in METRICS)]) for target in TARGETS)
    return f"<table>{heads}{''.join(rows)}</table>\n"


def _footer(skipped: Sequence[str]) -> str:
    made = "Scores: museval v4, median over frames of 1 s; SI-SDR over the whole excerpt. "
    made += "Separated hop by hop, exactly as in a live session, latency removed."
    if skipped:
        made += f"<p>Skipped ({len(skipped)}):<br>" + "<br>".join(escape(line) for line in skipped) + "</p>"
    return made


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
