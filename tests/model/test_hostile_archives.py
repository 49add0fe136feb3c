"""A model file whose archive attacks is refused in one line, before it costs time or memory."""

from __future__ import annotations

import io
import os
import struct
import threading
import zipfile
from pathlib import Path

import pytest

from rtsep.errors import ModelError
from rtsep.model import archive
from rtsep.model.package import read_package
from tests.model.hostile import changed, entries_of, refusal
from tests.models import make_parts


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../../evil", "a name that no model has"),
        ("/etc/evil", "a name that no model has"),
        ("{root}/data/../../evil", "a name that no model has"),
        ("{root}\\evil", "a name that no model has"),
        ("C:/evil", "a name that no model has"),
        ("{root}/data/\x1b[2J", "a name that no model has"),
        ("{root}/" + 300 * "x", "a name that no model has"),
        ("{root}/code/evil.so", "does not belong to a model"),
        ("elsewhere/data/0", "is outside the folders of a model"),
        ("{root}/DATA.pkl", "occurs twice"),
    ],
    ids=range(10),
)
def test_entries_with_strange_names_are_refused(tmp_path, name, words):
    def change(entries, root):
        entries[name.format(root=root)] = b"x"

    assert words in refusal(changed(tmp_path / "m.pt", change))


def test_two_entries_of_one_name_are_refused(tmp_path):
    path = make_parts("ones", profile="stage").write(tmp_path / "m.pt")
    name = next(name for name in entries_of(path.read_bytes()) if name.endswith(".py"))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr(name, "import os")
    assert "occurs twice" in refusal(path)


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path, monkeypatch):
    def change(entries, root):
        entries[f"{root}/data/99"] = bytes(100 << 20)

    path = changed(tmp_path / "m.pt", change)
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(ModelError, match="unpacks to more than 100 times its size"):
        read_package(path)


def test_a_directory_that_claims_less_than_unpacks_is_refused(tmp_path):
    def change(entries, root):
        entries[f"{root}/data/99"] = os.urandom(50) * 2000

    path = changed(tmp_path / "m.pt", change)
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.rfind(
            signature, 0, content.rfind(b"data/99") if signature[2] == 1 else content.find(b"data/99")
        )
        content[at + place : at + place + 4] = struct.pack("<I", 100)
    path.write_bytes(content)
    with pytest.raises(ModelError):
        read_package(path)


def test_more_entries_or_bytes_than_a_model_has_are_refused(tmp_path, monkeypatch):
    def change(entries, root):
        entries.update({f"{root}/data/{number}": b"" for number in range(5000, 10_000)})

    assert f"{archive.MAX_ENTRIES} are accepted" in refusal(changed(tmp_path / "m.pt", change))
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    good = make_parts("ones", profile="stage").write(tmp_path / "good.pt")
    with pytest.raises(ModelError, match="unpacks to at least 0 MB; at most 0 MB are accepted"):
        archive.read_entries(good.read_bytes(), 1000)


def directory(count: int) -> bytes:
    """Return an archive with nothing but a directory of `count` entries."""
    name = b"m/extra/spec.json"
    form = "<HHHHHHIIIHHHHHII"
    first = b"PK\1\2" + struct.pack(form, 20, 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0) + name
    others = (
        struct.pack(form, 20, 20, 0, 0, 0, 33, hash(n / 7) & 0xFFFFFFFF, *9 * [0]) for n in range(count)
    )
    entries = first + b"".join(b"PK\1\2" + other for other in others)
    return entries + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entries), 0, 0)


def test_a_directory_without_end_is_refused_before_it_is_read(tmp_path, monkeypatch):
    plain, inside = tmp_path / "plain.pt", tmp_path / "inside.pt"
    plain.write_bytes(directory(20_000))

    def change(entries, root):
        entries[f"{root}/extra/golden.npz"] = directory(20_000)

    changed(inside, change)
    real = zipfile.ZipFile

    def small(file, *arguments):
        assert len(file.getvalue()) < 1 << 19
        return real(file, *arguments)

    monkeypatch.setattr(zipfile, "ZipFile", small)
    for path in (plain, inside):
        assert "20001 entries; at most 4096 are accepted" in refusal(path)


def test_a_place_beyond_every_file_is_refused(tmp_path):
    name, path = b"m/extra/spec.json", tmp_path / "m.pt"
    extra = struct.pack("<HHQ", 1, 8, 1 << 63)
    local = b"PK\3\4" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0) + name
    sizes = (len(name), len(extra), 0, 0, 0, 0, 0xFFFFFFFF)
    entry = b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 45, 45, 0, 0, 0, 33, 0, 0, 0, *sizes) + name + extra
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local), 0)
    path.write_bytes(local + entry + end)
    assert "not a model file" in refusal(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_pipe_is_not_waited_for(tmp_path):
    path, refused = tmp_path / "m.pt", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: refused.append(refusal(path)), daemon=True)
    reader.start()
    reader.join(20)
    assert refused and "not a file" in refused[0]


def test_a_sparse_file_of_any_size_and_a_device_are_not_read(tmp_path):
    huge = tmp_path / "huge.pt"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    assert "larger than 256 MB" in refusal(huge)
    assert "not a file" in refusal(Path("/dev/zero"))


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000, 2, 1025, 2), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2, 1025, 2), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (8, 2, 1025, 2), }",
        "__import__('os').system('true')",
        "(" * 5000,
    ],
    ids=range(5),
)
def test_golden_frames_that_claim_more_than_they_hold_are_refused(tmp_path, header):
    text = header.encode() + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("columns.npy", array)
        file.writestr("masks.npy", array)

    def change(entries, root):
        entries[f"{root}/extra/golden.npz"] = buffer.getvalue()

    assert "not a model file" in refusal(changed(tmp_path / "m.pt", change))
