"""`report`: write one HTML file about the cache: sets, skipped files, levels, and training mixtures.

The mixtures come from the remixer that training uses. Each has players, spectrograms of mixture and target,
and the ideal ratio mask |V| / (|V| + |M|). The file needs no other file.
"""

from __future__ import annotations

import argparse
import base64
import html
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from rtsep.errors import UsageError
from train.data.cache import RATE, AudioCache, Song, default_cache, whole_file
from train.data.effects import Wave, rms
from train.data.prepare import SKIPPED
from train.data.remix import Recipe, Remixer
from train.pages.page import folded, table_row
from train.pages.pictures import RANGE_DB, TICKS_HZ, height_of, ideal_picture, sound_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"
SECONDS = 6.0  # of each mixture shown
COUNTED, COUNTED_S = 200, 3.0  # mixtures of each kind for the levels, and their length
SILENT_DB = -90.0  # shown instead of nothing
OPUS_RATE, OPUS_LEVEL = 48000, 0.75
WAYS = (("true mixes", 1.0), ("random pairs", 0.0))
"""Ways of mixing, with the share of real songs that draws only this way."""


@dataclass(frozen=True)
class Mixture:
    """One mixture: voice and mix [2, n], and the way of mixing."""

    way: str
    voice: Wave
    mix: Wave

    @property
    def level_db(self) -> float:
        """RMS of the mix relative to full scale."""
        return decibels(rms(self.mix))

    @property
    def voice_to_music_db(self) -> float:
        """RMS of the voice relative to that of the music; nan if one of them is missing."""
        voice, music = rms(self.voice), rms(self.mix - self.voice)
        return decibels(voice / music) if voice > 1e-3 * music and music > 1e-2 * voice else float("nan")


def decibels(ratio: float) -> float:
    """Return the level of an amplitude ratio in dB, at least `SILENT_DB`."""
    return max(SILENT_DB, 20 * float(np.log10(max(ratio, 1e-12))))


def draw(remixer: Remixer, way: str, share: float, seed: int) -> Mixture:
    """Draw the mixture of a seed; equal seeds give equal mixtures."""
    voice, music = remixer.sample(np.random.default_rng(seed), share)
    return Mixture(way, voice, voice + music)


# ---------------------------------------------------------------------- pictures
def picture(mixture: Mixture) -> Figure:
    """Return a picture of three: spectrogram of the mix, of the voice, and the ideal mask."""
    from matplotlib.figure import Figure

    levels = [sound_picture(wave) for wave in (mixture.mix, mixture.voice)]
    top = max(float(levels[0].max()), SILENT_DB)
    mix_db, voice_db = (level - top for level in levels)
    mask = ideal_picture(mixture.voice, mixture.mix - mixture.voice)
    mask[mix_db < -RANGE_DB] = np.nan  # a mask of almost silent bins means nothing

    figure = Figure(figsize=(9.0, 5.4), dpi=100, layout="constrained")
    axes = figure.subplots(3, 1, sharex=True)
    seconds = mixture.mix.shape[1] / RATE
    extent = (0.0, seconds, 0.0, 1.0)
    rows = (
        ("mixture", mix_db, "magma", -RANGE_DB, 0.0, "dB"),
        ("target: voice", voice_db, "magma", -RANGE_DB, 0.0, "dB"),
        ("ideal mask", mask, "viridis", 0.0, 1.0, ""),
    )
    for axis, (title, values, colours, low, high, unit) in zip(axes, rows, strict=True):
        axis.set_facecolor("#d8d8d8")
        image = axis.imshow(values, aspect="auto", extent=extent, cmap=colours, vmin=low, vmax=high)
        axis.set_yticks([height_of(hertz) for hertz in TICKS_HZ], list(TICKS_HZ.values()))
        axis.set_ylabel("Hz")
        axis.set_title(title, loc="left", fontsize=10)
        figure.colorbar(image, ax=axis, pad=0.01, label=unit)
    axes[-1].set_xlabel("s")
    return figure


def histograms(mixtures: Sequence[Mixture]) -> Figure:
    """Return the histograms of levels, and of voice-to-music ratios, for each way of mixing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 2.9), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, title, edges in (
        (left, "level of the mixture, dB re full scale (RMS)", np.arange(-51, 1, 3)),
        (right, "voice against music, dB", np.arange(-30, 31, 3)),
    ):
        of = {way: [m for m in mixtures if m.way == way] for way, _ in WAYS}
        for colour, (way, drawn) in zip(("#1f77b4", "#d1602b"), of.items(), strict=True):
            values = np.asarray([m.level_db if axis is left else m.voice_to_music_db for m in drawn])
            known = values[np.isfinite(values)]
            shares = np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0] / max(1, len(drawn))
            axis.stairs(100 * shares, edges, color=colour, lw=1.8, label=way)
            axis.stairs(100 * shares, edges, color=colour, alpha=0.18, fill=True)
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_ylabel("% of mixtures")
        axis.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def _png(figure: Figure) -> str:
    held = io.BytesIO()
    figure.savefig(held, format="png")
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()


def _opus(wave: Wave) -> str:
    """Return a player for a wave [2, n] at its true level."""
    held = io.BytesIO()
    played = soxr.resample(np.clip(wave.T, -1, 1), RATE, OPUS_RATE)
    soundfile.write(
        held, played, OPUS_RATE, format="OGG", subtype="OPUS", compression_level=OPUS_LEVEL
    )  # fmt: skip
    return "data:audio/ogg;base64," + base64.b64encode(held.getvalue()).decode()


# ---------------------------------------------------------------------- tables
def set_rows(songs: Sequence[Song]) -> list[tuple[str, ...]]:
    """Return rows of kind, set, licences, songs and hours for training and validation, and a sum."""
    sets: dict[tuple[str, str], list[Song]] = defaultdict(list)
    for song in songs:
        sets[song.kind, song.source].append(song)

    def counts(of: Sequence[Song]) -> tuple[str, ...]:
        cells: list[str] = []
        for split in ("train", "valid"):
            held = [song for song in of if song.split == split]
            hours = sum(song.frames for song in held) / RATE / 3600
            cells += [str(len(held)), f"{hours:.2f}"] if held else ["", ""]
        return tuple(cells)

    rows = [
        (kind, source, ", ".join(sorted({song.licence for song in of})), *counts(of))
        for (kind, source), of in sorted(sets.items())
    ]
    return [*rows, ("all", "", "", *counts(songs))]


def cut_groups(songs: Sequence[Song]) -> list[str]:
    """Return singers, artists and packages that are in both splits; there should be none."""
    splits: dict[tuple[str, str], set[str]] = defaultdict(set)
    for song in songs:
        if song.group:
            splits[song.source, song.group].add(song.split)
    return sorted(f"{source}: {group}" for (source, group), held in splits.items() if len(held) > 1)


# ---------------------------------------------------------------------- page
_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1e; background: #fafaf8; margin: 2rem auto;
  max-width: 960px; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; } h3 { font-size: 1rem; margin: 0; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid #e4e2dd; vertical-align: top; }
th { color: #666; font-weight: 500; } tr:last-child td { font-weight: 600; border-bottom: 0; }
td:nth-child(n+4), th:nth-child(n+4) { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
section { background: #fff; border: 1px solid #e4e2dd; border-radius: 8px; padding: 1rem; margin: 1rem 0; }
img { width: 100%; height: auto; } .soft { color: #666; } li { overflow-wrap: anywhere; font-size: .88rem; }
.players { display: grid; grid-template-columns: repeat(3, 1fr); gap: .8rem; font-size: .85rem; }
audio { width: 100%; height: 2.2rem; }
</style></head><body>
<h1>$title</h1>
<p class="soft">$summary</p>
<h2>Sets</h2>
<table><tr><th>kind</th><th>set</th><th>licence</th><th>train</th><th>h</th><th>valid</th><th>h</th></tr>
$sets
</table>
<p>$groups</p>
<h2>Left out</h2>
$skipped
<h2>Levels</h2>
<p class="soft">$counted</p>
<img src="$histograms" alt="histograms of levels">
<h2>Mixtures as training draws them</h2>
<p class="soft">Spectrograms of the mean power of both channels, one scale for mixture and target; the mask is
that of their middle, and grey if the mixture is more than $range dB below its maximum. Players have the
level of the net's input.</p>
$mixtures
</body></html>
""")

_MIXTURE = Template("""<section><h3>$title</h3><p class="soft">$facts</p>
<img src="$picture" alt="spectrograms of mixture and target, ideal mask">
<div class="players"><div>mixture<audio controls src="$mix"></audio></div>
<div>target: voice<audio controls src="$voice"></audio></div>
<div>the rest: music<audio controls src="$music"></audio></div></div></section>
""")


def _section(number: int, mixture: Mixture) -> str:
    ratio = mixture.voice_to_music_db
    against = f"voice {ratio:+.1f} dB against the music" if np.isfinite(ratio) else "voice or music alone"
    return _MIXTURE.substitute(
        title=f"{number}. {mixture.way.removesuffix('es').removesuffix('s')}",
        facts=f"level {mixture.level_db:.1f} dB, {against}",
        picture=_png(picture(mixture)),
        mix=_opus(mixture.mix),
        voice=_opus(mixture.voice),
        music=_opus(mixture.mix - mixture.voice),
    )


def _left_out(cache: Path) -> str:
    try:
        lines = (cache / SKIPPED).read_text().splitlines()
    except OSError:
        return "<p>This cache does not contain it: prepare the cache again.</p>"
    if not lines:
        return "<p>Nothing: every recording was decoded completely.</p>"
    padded = sum(line.startswith(("padded:", "trimmed:")) for line in lines)  # the latter in old caches
    return folded(f"{len(lines) - padded} skipped, {padded} padded", lines, unfolded=True)


def report(
    cache: Path,
    out: Path,
    split: str = "train",
    mixtures: int = 6,
    seed: int = 1,
    recipe: Recipe = Recipe(),  # noqa: B008
    counted: int = COUNTED,
) -> Path:
    """Write the page into `out`; return its path.

    The histograms are made of `counted` mixtures for each way of mixing. Raises `InputFileError` without a
    cache or without songs in the split, and `OutputError` if `out` is not writable.
    """
    if seed < 0:
        raise UsageError(f"--seed {seed}: must be at least 0")
    if mixtures < 0 or counted < 1:
        raise UsageError(f"--mixtures {mixtures}: 0 or more is accepted")
    held = AudioCache(cache)
    counter = Remixer(held, int(COUNTED_S * RATE), split, recipe)
    work = [(way, share, seed + index) for index in range(counted) for way, share in WAYS]
    levels = [draw(counter, *what) for what in tqdm(work, unit="mixture", desc="levels")]
    shower = Remixer(held, int(SECONDS * RATE), split, recipe)
    shown = [(*WAYS[index % 2], seed + index) for index in range(mixtures)]
    sections = [
        _section(number, draw(shower, *what))
        for number, what in enumerate(tqdm(shown, unit="mixture", desc="pictures"), 1)
    ]
    alone = sum(not np.isfinite(m.voice_to_music_db) for m in levels)
    cut = cut_groups(held.songs)
    known = any(song.group for song in held.songs)
    groups = f"In both splits, which is an error: {', '.join(cut)}." if cut else (
        "No singer, artist or package is in both splits." if known
        else "This cache has no singers: prepare it again to check the splits."
    )  # fmt: skip
    frames = sum(song.frames for song in held.songs)
    page = _PAGE.substitute(
        title="Input of the net",
        summary=f"{len(held.songs)} songs, {frames / RATE / 3600:.1f} h; mixtures of split '{split}'",
        sets="\n".join(map(table_row, set_rows(held.songs))),
        groups=html.escape(groups),
        skipped=_left_out(cache),
        counted=f"{counted} mixtures of each kind, {COUNTED_S:g} s each; "
        f"{alone} of {len(levels)} are voice alone or music alone and are not in the right picture.",
        histograms=_png(histograms(levels)),
        range=f"{RANGE_DB:g}",
        mixtures="\n".join(sections),
    )
    with whole_file(out / PAGE) as file:
        file.write(page.encode())
    print(f"{out / PAGE}: {len(held.songs)} songs, {len(sections)} mixtures")
    return out / PAGE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train report`."""
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), metavar="DIR", help="folder of the cache (%(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=f"folder for {PAGE}")
    parser.add_argument(
        "--split", choices=("train", "valid"), default="train", help="songs to draw from (%(default)s)"
    )
    parser.add_argument(
        "--mixtures", type=int, default=6, metavar="N", help="number of mixtures on the page (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="random seed of the first mixture (%(default)s)")


def run(options: argparse.Namespace) -> None:
    """Run `python -m train report`."""
    report(options.cache, options.out, options.split, options.mixtures, options.seed)
