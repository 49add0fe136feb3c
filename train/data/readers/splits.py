"""The split into training and validation: by lists if there are any, else by names.

Whole songs, singers, artists and packages go into one split. A stable hash of the name decides, so that a
song keeps its split when others come and go.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from train.data.readers.base import Choice, Plan

YARDSTICK = (
    # MUSDB18's own validation list
    "ANiMAL - Rockshow", "Actions - One Minute Smile", "Alexander Ross - Goodbye Bolero",
    "Clara Berry And Wooldog - Waltz For My Victims", "Fergessen - Nos Palpitants", "James May - On The Line",
    "Johnny Lokke - Promises & Lies", "Leaf - Summerghost", "Meaxic - Take A Step",
    "Patrick Talbot - A Reason To Leave", "Skelpolu - Human Mistakes", "Traffic Experiment - Sirens",
    "Triviul - Angelsaint", "Young Griffo - Pennies",
    # and all other training songs of these artists
    "ANiMAL - Easy Tiger", "Actions - Devil's Words", "Actions - South Of The Water",
    "Alexander Ross - Velvet Curtain", "Clara Berry And Wooldog - Air Traffic",
    "Clara Berry And Wooldog - Stella", "Fergessen - Back From The Start", "Fergessen - The Wind",
    "James May - All Souls Moon", "James May - Dont Let Go", "James May - If You Say",
    "Johnny Lokke - Whisper To A Scream", "Leaf - Come Around", "Leaf - Wicked", "Meaxic - You Listen",
    "Patrick Talbot - Set Me Free", "Skelpolu - Together Alone",
    "Traffic Experiment - Once More (With Feeling)", "Triviul - Dorothy", "Young Griffo - Blood To Bone",
    "Young Griffo - Facade",
)  # fmt: skip
"""Validation songs, from the training part of MUSDB18. They compare data, recipes and nets; no net is trained
on them. No artist of these songs is in training: an unseen song of a known singer is half known."""

VALIDATION_MIN = 20
"""Minimum number of validation clips from MUSDB18: the yardstick, and others."""

HELD_OUT = ("ANiMAL - Clinic A", "hydrogen")
"""Songs that are in no split: the song of a published comparison, and the demo song."""

MUSDB18_TEST = (
    "AM Contra - Heart Peripheral", "Al James - Schoolboy Facination", "Angels In Amplifiers - I'm Alright",
    "Arise - Run Run Run", "BKS - Bulldozer", "BKS - Too Much",
    "Ben Carrigan - We'll Talk About It All Tonight", "Bobby Nobody - Stitch Up", "Buitraker - Revo X",
    "Carlos Gonzalez - A Place For Us", "Cristina Vane - So Easy", "Detsky Sad - Walkie Talkie",
    "Enda Reilly - Cur An Long Ag Seol", "Forkupines - Semantics", "Georgia Wonder - Siren",
    "Girls Under Glass - We Feel Alright", "Hollow Ground - Ill Fate",
    "James Elder & Mark M Thompson - The English Actor", "Juliet's Rescue - Heartbeats",
    "Little Chicago's Finest - My Own", "Louis Cressy Band - Good Time", "Lyndsey Ollard - Catching Up",
    "M.E.R.C. Music - Knockout", "Moosmusic - Big Dummy Shake", "Motor Tapes - Shore", "Mu - Too Bright",
    "Nerve 9 - Pray For The Rain", "PR - Happy Daze", "PR - Oh No", "Punkdisco - Oral Hygiene",
    "Raft Monk - Tiring", "Sambasevam Shanmugam - Kaathaadi", "Secretariat - Borderline",
    "Secretariat - Over The Top", "Side Effects Project - Sing With Me",
    "Signe Jakobsen - What Have You Done To Me", "Skelpolu - Resurrection", "Speak Softly - Broken Man",
    "Speak Softly - Like Horses", "The Doppler Shift - Atrophy", "The Easton Ellises (Baumi) - SDRNR",
    "The Easton Ellises - Falcon 69", "The Long Wait - Dark Horses", "The Mountaineering Club - Mallory",
    "The Sunshine Garcia Band - For I Am The Moon", "Timboz - Pony", "Tom McKenzie - Directions",
    "Triviul feat. The Fiend - Widow", "We Fell From The Sky - Not You", "Zeno - Signs",
)  # fmt: skip
"""Test songs of MUSDB18. DSD100 has them, too; some of its Dev songs are among them."""

MUSDB18_TRAIN = (
    "A Classic Education - NightOwl", "Aimee Norwich - Child", "Angela Thomas Wade - Milk Cow Blues",
    "Atlantis Bound - It Was My Fault For Waiting", "Auctioneer - Our Future Faces", "AvaLuna - Waterduct",
    "BigTroubles - Phantom", "Bill Chudziak - Children Of No-one", "Black Bloc - If You Want Success",
    "Celestial Shore - Die For Us", "Chris Durban - Celebrate", "Cnoc An Tursa - Bannockburn",
    "Creepoid - OldTree", "Dark Ride - Burning Bridges", "Dreamers Of The Ghetto - Heavy Love",
    "Drumtracks - Ghost Bitch", "Faces On Film - Waiting For Ga", "Flags - 54", "Giselle - Moss",
    "Grants - PunchDrunk", "Helado Negro - Mitad Del Mundo", "Hezekiah Jones - Borrowed Heart",
    "Hollow Ground - Left Blind", "Hop Along - Sister Cities", "Invisible Familiars - Disturbing Wildlife",
    "Jay Menon - Through My Eyes", "Jokers, Jacks & Kings - Sea Of Leaves", "Lushlife - Toynbee Suite",
    "Matthew Entwistle - Dont You Ever", "Music Delta - 80s Rock", "Music Delta - Beatles",
    "Music Delta - Britpop", "Music Delta - Country1", "Music Delta - Disco", "Music Delta - Gospel",
    "Music Delta - Grunge", "Music Delta - Hendrix", "Music Delta - Punk", "Music Delta - Reggae",
    "Music Delta - Rock", "Music Delta - Rockabilly", "Night Panther - Fire",
    "North To Alaska - All The Same", "Phre The Eon - Everybody's Falling Apart",
    "Port St Willow - Stay Even", "Remember December - C U Next Time", "Secret Mountains - High Horse",
    "Snowmine - Curfews", "Spike Mullings - Mike's Sulking", "St Vitus - Word Gets Around",
    "Steven Clark - Bounty", "Strand Of Oaks - Spacestation", "Sweet Lights - You Let Me Down",
    "Swinging Steaks - Lost My Way", "The Districts - Vermont", "The Long Wait - Back Home To Blue",
    "The Scarlet Brand - Les Fleurs Du Mal", "The So So Glos - Emergency", "The Wrong'Uns - Rothko",
    "Tim Taler - Stalker", "Titanium - Haunted Age", "Voelund - Comfort Lives In Belief",
    "Wall Of Death - Femme",
)  # fmt: skip
"""The other training songs of MUSDB18, to recognise the set."""

_GIVEN = {"train": "train", "dev": "train", "valid": "valid", "validation": "valid", "test": "test"}


def title(name: str) -> str:
    """Return the name of a song in a common form: no folder, no leading number, small letters."""
    return re.sub(r"^\d+\s*-\s*", "", name.rsplit("/", 1)[-1]).strip().lower()


def artist(name: str) -> str:
    """Return the artist of "Artist - Song", or the whole title."""
    return title(name).split(" - ")[0]


def without_splits(parts: Iterable[str]) -> list[str]:
    """Return the parts of a path without those that name a split."""
    return [part for part in parts if part.lower() not in _GIVEN]


def identity(name: str) -> str:
    """Return an identity that two names of one song share: "artist - song", else the name with its folders.

    It is empty for a plain number, because every album has a song 1.
    """
    bare = title(name)
    if " - " not in bare and "/" in name:
        bare = f"{name.rsplit('/', 1)[0].lower()}/{bare}"
    return bare if any(letter.isalpha() for letter in bare) else ""


def fraction(name: str) -> float:
    """Return a stable number in 0..1 for a name."""
    return int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8], "big") / 2.0**64


def share_out(groups: Iterable[str], share: float) -> set[str]:
    """Choose about `share` of the groups for validation; of two and more at least one, never all.

    The result is at most twice the share, or one song, so that few groups lose little training data.
    """
    sizes = Counter(groups)
    if share <= 0 or len(sizes) < 2:
        return set()
    wanted = share * sizes.total()
    ordered = sorted(sizes, key=fraction)
    held: list[str] = []
    for group in ordered:
        if fraction(group) < share and sum(sizes[g] for g in (*held, group)) <= max(1, 2 * wanted):
            held.append(group)
    if not held:
        held = [min(ordered, key=lambda group: abs(sizes[group] - wanted))]
    return set(held[: len(ordered) - 1])


def given_split(inside: Path) -> str:
    """Return the split that the folders of a path name: train, valid, test, or ''."""
    return next((_GIVEN[part.lower()] for part in inside.parts[:-1] if part.lower() in _GIVEN), "")


def assign(groups: Sequence[str], given: Sequence[str], choice: Choice) -> list[str]:
    """Return the split of each song from its group and the split by its folder ("" for none).

    Folders named for validation decide. Without such folders, some groups are chosen.
    """
    if "valid" in given:
        return [split or "train" for split in given]
    open_ = [group for group, split in zip(groups, given, strict=True) if split != "test"]
    held = share_out(open_, choice.validation_share)
    named = zip(groups, given, strict=True)
    return ["test" if split == "test" else "valid" if group in held else "train" for group, split in named]


def assign_songs(
    names: Sequence[str], given: Sequence[str], choice: Choice, groups: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """Return split and group of each song.

    The yardstick decides if some of its songs are among them, else `assign` by `groups` (or artists).
    """
    if "valid" in given or not any(title(name) in _YARDSTICK for name in names):
        groups = [artist(name) for name in names] if groups is None else groups
        return list(zip(assign(groups, given, choice), groups, strict=True))
    found = []
    for name, split in zip(names, given, strict=True):
        by_list = "valid" if title(name) in _YARDSTICK else "train"
        found.append(("test" if split == "test" else by_list, title(name)))
    return found


_YARDSTICK = frozenset(title(name) for name in YARDSTICK)
_MUSDB18 = _YARDSTICK | {title(name) for name in (*MUSDB18_TRAIN, *MUSDB18_TEST, HELD_OUT[0])}
_YARDSTICK_ARTISTS = frozenset(artist(name) for name in YARDSTICK)


def is_musdb(names: Iterable[str]) -> bool:
    """Return whether there is a song of MUSDB18 among `names`."""
    return any(title(name) in _MUSDB18 for name in names)


def musdb_validation(names: list[str], minimum: int = VALIDATION_MIN) -> set[str]:
    """Choose validation clips among `names`: the yardstick, then others in a fixed order."""
    chosen = set(YARDSTICK) & set(names)
    others = set(names) - chosen - set(HELD_OUT)
    rest = sorted(others, key=lambda name: hashlib.sha256(name.encode(errors="surrogateescape")).digest())
    return {*chosen, *rest[: max(0, minimum - len(chosen))]}


def reconcile(plans: list[Plan], test: Iterable[str]) -> tuple[list[Plan], list[str]]:
    """Make the splits of several sets agree, song by song.

    Returns the remaining plans, and the names of the songs left out: test songs of any set and of MUSDB18,
    `HELD_OUT`, and other songs by artists of the yardstick. A validation song of one set, and a song of the
    yardstick, is a validation song in all sets. This includes solo voices: the voice of a song is as much a
    part of it as its stems.
    """
    known = {title(name) for name in (*MUSDB18_TEST, *HELD_OUT)}
    closed = {identity(name) for name in test} - {""}
    with_music = [plan for plan in plans if plan.kind in ("stems", "pair")]
    validating = {identity(plan.name) for plan in with_music if plan.split == "valid"} - {""}
    kept, left_out = [], []
    for plan in plans:
        song = identity(plan.name)
        if plan.kind == "music":
            kept.append(plan)
        elif song in closed or title(plan.name) in known:
            left_out.append(plan.name)
        elif title(plan.name) in _YARDSTICK:
            kept.append(replace(plan, split="valid"))
        elif " - " in title(plan.name) and artist(plan.name) in _YARDSTICK_ARTISTS:
            left_out.append(plan.name)
        else:
            kept.append(replace(plan, split="valid") if song in validating else plan)
    return kept, left_out
