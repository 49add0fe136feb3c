"""The page of a blind comparison: one static HTML file, for a folder, without network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from string import Template


@dataclass(frozen=True)
class Sound:
    """One sound of an excerpt."""

    title: str  # a letter, if it is rated
    path: str  # beside the page
    rated: bool


@dataclass(frozen=True)
class Comparison:
    """One excerpt: its sounds, and the number of the system behind each letter."""

    name: str
    seconds: float
    sounds: tuple[Sound, ...]
    order: tuple[int, ...]


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Blind comparison</title>
<style>
:root { color-scheme: light dark; --line: light-dark(#dedcd7, #313136); --soft: light-dark(#5f5f66, #a2a2aa);
  --card: light-dark(#ffffff, #1e1e21); --accent: light-dark(#b23c0a, #fb923c); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 860px; padding: 1.5rem 1rem 4rem; font: 16px/1.5 system-ui, sans-serif;
  background: light-dark(#fbfaf8, #151517); color: light-dark(#1d1d1f, #ececee); }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.1rem; margin: 0 0 .6rem; }
.soft { color: var(--soft); font-size: .9rem; }
section { margin: 1.2rem 0; padding: 1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
.sound { display: grid; grid-template-columns: 7rem 1fr 4rem; gap: .3rem .8rem; align-items: center;
  padding: .3rem 0; }
button { font: inherit; min-height: 2.75rem; border-radius: 8px; border: 1px solid var(--line);
  background: transparent; color: inherit; cursor: pointer; }
button.now { border-color: var(--accent); color: var(--accent); font-weight: 600; }
input[type=range] { width: 100%; min-height: 2.75rem; accent-color: var(--accent); }
output { text-align: right; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; } th, td { padding: .2rem 1.2rem .2rem 0; text-align: right; }
th:first-child, td:first-child { text-align: left; }
</style>
</head>
<body>
<h1>Blind comparison: $stem</h1>
<p>Each excerpt has its own random order. Rate every letter: 0 is unusable, 100 is perfect.
All sounds of an excerpt share one position, so you can switch while it plays. The button
<b>Show the names</b> ends the comparison.</p>
<main>
$excerpts
</main>
<section aria-live="polite">
<button id="show">Show the names</button>
<div id="result"></div>
</section>
<script>
"use strict";
const hidden = "$key";
let playing = null;
document.querySelectorAll("section[data-number]").forEach(section => {
  let at = 0;
  section.querySelectorAll("button").forEach(button => {
    const audio = button.querySelector("audio");
    audio.loop = true;
    button.addEventListener("click", () => {
      const same = playing === audio;
      if (playing) {
        if (section.contains(playing)) at = playing.currentTime;
        playing.pause();
        playing.parentElement.classList.remove("now");
        playing.parentElement.setAttribute("aria-pressed", "false");
        playing = null;
      }
      if (same) return;
      audio.currentTime = at;
      audio.play();
      playing = audio;
      button.classList.add("now");
      button.setAttribute("aria-pressed", "true");
    });
  });
  section.querySelectorAll("input").forEach(slider => slider.addEventListener("input", () => {
    slider.dataset.rated = "yes";
    slider.nextElementSibling.textContent = slider.value;
  }));
});
document.getElementById("show").addEventListener("click", () => {
  const key = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(hidden), c => c.charCodeAt(0))));
  const ratings = new Map();
  document.querySelectorAll("section[data-number]").forEach(section => {
    const names = key[section.dataset.number];
    section.querySelectorAll("input").forEach((slider, number) => {
      section.querySelectorAll("button[data-rated]")[number].firstChild.textContent = names[number] + " ";
      if (!ratings.has(names[number])) ratings.set(names[number], []);
      if (slider.dataset.rated) ratings.get(names[number]).push(Number(slider.value));
    });
  });
  const table = document.createElement("table");
  table.insertRow().innerHTML = "<th>system</th><th>mean rating</th><th>standard error</th><th>ratings</th>";
  const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;
  [...ratings].sort((a, b) => (mean(b[1]) || 0) - (mean(a[1]) || 0)).forEach(([name, values]) => {
    const row = table.insertRow(), m = mean(values);
    const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - m) ** 2, 0) / (values.length - 1));
    const error = values.length > 1 ? (spread / Math.sqrt(values.length)).toFixed(1) : "-";
    const cells = [name, values.length ? m.toFixed(1) : "-", error, values.length];
    cells.forEach(cell => { row.insertCell().textContent = cell; });
  });
  document.getElementById("result").replaceChildren(table);
});
</script>
</body>
</html>
""")


def blind_page(comparisons: Sequence[Comparison], key: str, stem: str) -> str:
    """Return the HTML of the comparison; `key` is base64 of a JSON list: the system's name of each letter."""
    excerpts = "\n".join(_section(number, comparison) for number, comparison in enumerate(comparisons))
    return _PAGE.substitute(stem=escape(stem), excerpts=excerpts, key=escape(key))


def _section(number: int, comparison: Comparison) -> str:
    title = f"{number + 1}. {escape(comparison.name)}"
    rows = "\n".join(_sound(sound, number) for sound in comparison.sounds)
    about = f"<span class='soft'>{comparison.seconds:.1f} s</span>"
    return f"<section data-number='{number}'><h2>{title} {about}</h2>\n{rows}\n</section>"


def _sound(sound: Sound, number: int) -> str:
    title = escape(sound.title)
    audio = f"<audio preload='metadata' src='{escape(sound.path)}'></audio>"
    rated = " data-rated" if sound.rated else ""
    button = f"<button type='button' aria-pressed='false'{rated}>{title} {audio}</button>"
    rating = "<span></span><span></span>"
    if sound.rated:
        label = f"rating of {title} in excerpt {number + 1}"
        rating = f"<input type='range' min='0' max='100' value='50' aria-label='{label}'><output>-</output>"
    return f"<div class='sound'>{button}{rating}</div>"
