"""Inspection of a TorchScript file before torch reads it; imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from rtsep.errors import ModelError
from rtsep.model.archive import read_entries, write_entries
from rtsep.model.operators import MAX_CODE, check_code
from rtsep.model.pickles import check_pickle

_SMALL_ENTRIES = ("version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id")
_MAX_SMALL = 64  # bytes

_PICKLES = {"data.pkl": "data", "constants.pkl": "constants"}
"""Pickles, each with the folder of its tensors' data."""

_TENSOR = re.compile(r"(data|constants)/\d+")
_CODE = re.compile(r"code/__torch__(/\w+)*\.py")
_DEBUG = re.compile(r"code/__torch__(/\w+)*\.py\.debug_pkl")
_OURS = "extra/"


def inspected(content: bytes) -> bytes:
    """Return a new archive with the parts of the file `content` that torch needs, all of them checked.

    torch reads archives with its own library, which may see other entries in the same bytes; therefore it
    never gets the original. Raise `ModelError` with the reason, without the file's name.
    """
    kept: dict[str, bytes] = {}
    entries = read_entries(content)
    root = next(iter(entries), "").split("/")[0]
    for name, data in entries.items():
        folder, _, inner = name.partition("/")
        if folder != root:
            raise ModelError(f"its entry {name[:60]!r} is outside the folders of a model; export it again")
        if inner.startswith(_OURS) or _DEBUG.fullmatch(inner):
            continue  # not used by torch
        small = inner in _SMALL_ENTRIES and len(data) <= _MAX_SMALL
        if not (small or inner in _PICKLES or _TENSOR.fullmatch(inner) or _CODE.fullmatch(inner)):
            raise ModelError(f"its entry {name[:60]!r} does not belong to a model; export it again")
        kept[name] = data
    code = [data for name, data in kept.items() if name.endswith(".py")]
    if sum(map(len, code)) > MAX_CODE:
        raise ModelError(f"its program has more than {MAX_CODE:,} characters; do not trust the file")
    for text in code:
        check_code(text)
    for pickle, folder in _PICKLES.items():
        values = kept.get(f"{root}/{pickle}")
        if values is not None:
            check_pickle(values, partial(_data_of, kept, f"{root}/{folder}"))
    return write_entries(kept)


def _data_of(entries: Mapping[str, bytes], folder: str, key: str) -> bytes | None:
    return entries.get(f"{folder}/{key}")
