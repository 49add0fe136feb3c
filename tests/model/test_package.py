import dataclasses
import errno
import hashlib
import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsep.errors import ModelError
from rtsep.model.package import Golden, read_package, read_spec, write_package
from tests.models import GOLDEN_STEPS, make_golden, make_model, make_parts, make_spec


@pytest.fixture(scope="module")
def parts():
    return make_parts("half", profile="stage")


@pytest.fixture(scope="module")
def good(model_folder, parts):
    return parts.write(model_folder / "package.rtsep")


@pytest.fixture(scope="module")
def scratch(model_folder):
    return model_folder / "tampered.rtsep"


def refusal(path):
    with pytest.raises(ModelError) as error:
        read_package(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text


def test_what_was_sealed_comes_back(good, parts):
    package = read_package(good)
    assert package.path == good
    assert package.spec == parts.spec
    assert np.array_equal(package.golden.columns, parts.golden.columns)
    assert np.array_equal(package.golden.masks, parts.golden.masks)
    assert package.sha256 == hashlib.sha256(good.read_bytes()).hexdigest()


def test_nothing_is_left_beside_the_file(good):
    assert not list(good.parent.glob("*.part"))


def test_folders_are_made_and_an_old_file_is_replaced(tmp_path, parts):
    path = tmp_path / "new" / "folder" / "m.rtsep"
    parts.write(path)
    dataclasses.replace(parts, spec=make_spec("half", "stage", description="second")).write(path)
    assert read_package(path).spec.description == "second"


def test_a_missing_file_is_refused(tmp_path):
    assert "no such model file; 'rtsep models' lists" in refusal(tmp_path / "nowhere.rtsep")


def test_a_folder_is_refused(tmp_path):
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no zip at all" * 100, b"PK\x03\x04" + bytes(100), bytes(5000)])
def test_what_is_no_archive_is_refused(scratch, content):
    scratch.write_bytes(content)
    assert "not a model file, or a truncated one" in refusal(scratch)


def test_an_archive_of_something_else_is_refused(scratch):
    with zipfile.ZipFile(scratch, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "an archive without a model spec" in refusal(scratch)


def test_a_bare_torchscript_program_is_refused(scratch, parts):
    scratch.write_bytes(parts.program)
    assert "an archive without a model spec" in refusal(scratch)


@settings(max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(good, scratch, share):
    content = good.read_bytes()
    scratch.write_bytes(content[: int(share * len(content))])
    text = refusal(scratch)
    # Cut behind the golden frames it is still an archive: that of the frames.
    assert "not a model file, or a truncated one" in text or "an archive without a model spec" in text


def test_a_file_cut_by_its_last_bytes_is_refused(good, scratch):
    content = good.read_bytes()
    for missing in range(1, 24):
        scratch.write_bytes(content[:-missing])
        refusal(scratch)


def peak_of(work):
    """Return the most memory that `work` had at one time, in bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_reading_takes_no_more_memory_than_the_file_needs(good):
    """A live session locks its memory; a buffer of the maximum size had 256 MB at each change of a model."""
    size = good.stat().st_size
    read_package(good)  # what the first call imports
    assert peak_of(lambda: read_package(good)) < 8 * size + (1 << 20)


def test_the_spec_alone_is_read_from_some_kilobytes(good, parts):
    large = good.with_name("large.rtsep")
    write_package(large, parts.program, parts.spec, parts.golden, {"more.bin": bytes(16 << 20)})
    assert read_spec(large) == parts.spec
    assert peak_of(lambda: read_spec(large)) < 1 << 20


def content_of(package):
    return package.spec, package.golden.columns.tobytes(), package.golden.masks.tobytes()


def entries_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def refused_or_harmless(path, good):
    """A changed file is either refused by name or has not one changed byte in it that anybody reads."""
    try:
        read_spec(path)
    except ModelError as error:
        assert str(error).startswith(f"{path}: ")
    try:
        package = read_package(path)
    except ModelError as error:
        assert str(error).startswith(f"{path}: ")
        return "refused"
    assert content_of(package) == content_of(read_package(good))
    assert entries_of(path) == entries_of(good)
    return "harmless"


@settings(max_examples=150)
@given(share=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_flipped_byte_anywhere_is_refused_or_lies_in_what_nobody_reads(good, scratch, share, change):
    content = bytearray(good.read_bytes())
    content[int(share * len(content))] ^= change
    scratch.write_bytes(content)
    refused_or_harmless(scratch, good)


def test_every_byte_of_the_directory_and_the_headers_may_flip(good, scratch):
    content = good.read_bytes()
    with zipfile.ZipFile(good) as archive:
        start = archive.start_dir
        last_header = max(archive.infolist(), key=lambda entry: entry.header_offset)
    header = range(last_header.header_offset, last_header.header_offset + 30 + len(last_header.filename))
    first_entry = content.find(b"PK\x01\x02", start + 1)
    places = [*header, *range(start, first_entry), *range(len(content) - 22, len(content))]
    verdicts = set()
    for place in places:
        for change in (0x01, 0x0E, 0xFF):  # at some places, 0x01 means "encrypted", 0x0E "LZMA"
            damaged = bytearray(content)
            damaged[place] ^= change
            scratch.write_bytes(damaged)
            verdicts.add(refused_or_harmless(scratch, good))
    assert "refused" in verdicts


def test_a_flipped_byte_of_any_entrys_content_is_refused(good, scratch):
    content = good.read_bytes()
    for name, data in entries_of(good).items():
        if len(data) < 4:
            continue
        with zipfile.ZipFile(good) as archive:
            entry = archive.getinfo(name)
        local = entry.header_offset
        begin = local + 30 + int.from_bytes(content[local + 26 : local + 28], "little")
        begin += int.from_bytes(content[local + 28 : local + 30], "little")
        for place in (begin, begin + entry.compress_size // 2, begin + entry.compress_size - 1):
            damaged = bytearray(content)
            damaged[place] ^= 0x10
            scratch.write_bytes(damaged)
            # the last byte of a deflated entry has bits that mean nothing
            spare = entry.compress_type == zipfile.ZIP_DEFLATED and place == begin + entry.compress_size - 1
            assert refused_or_harmless(scratch, good) == "refused" or spare


def rewrite(good, target, change):
    """Copy `good` entry by entry with right CRCs; `change(name, data)` gives the new data, None drops it."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in entries_of(good).items():
            new = change(name, data)
            if new is not None:
                archive.writestr(name, new)
    return target


def test_content_that_was_exchanged_with_care_is_refused_by_the_checksum(good, scratch):
    for victim in [name for name in entries_of(good) if not name.endswith("spec.json")]:
        rewrite(good, scratch, lambda name, data, victim=victim: data + b"!" if name == victim else data)
        assert "does not match its checksum" in refusal(scratch)
        rewrite(good, scratch, lambda name, data, victim=victim: None if name == victim else data)
        assert "checksum" in refusal(scratch)


def test_an_entry_that_was_smuggled_in_is_refused(good, scratch):
    scratch.write_bytes(good.read_bytes())
    with zipfile.ZipFile(scratch, "a") as archive:
        archive.writestr("more.txt", "hello")
    assert "does not match its checksum" in refusal(scratch)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda sealed: sealed["spec"].update(schema=2), "schema 2 is not supported by this rtsep"),
        (lambda sealed: sealed["spec"].update(hopp=2), "unknown entry 'hopp'; did you mean 'hop'"),
        (lambda sealed: sealed["spec"].pop("hop"), "entry 'hop' is missing"),
        (lambda sealed: sealed["spec"].update(hop="256"), "entry 'hop' is '256'"),
        (lambda sealed: sealed.pop("content_sha256"), "does not match its checksum"),
        (lambda sealed: sealed.update(spec=[]), "spec has an unknown form"),
        (lambda sealed: sealed.pop("spec"), "spec has an unknown form"),
        (lambda sealed: sealed["spec"].update(n_fft=1024), "golden columns have shape"),
        (lambda sealed: sealed["spec"].update(channels=1), "golden columns have shape"),
    ],
    ids=range(9),
)
def test_a_spec_that_does_not_hold_is_refused_with_its_reason(good, scratch, change, words):
    def tamper(name, data):
        if not name.endswith("spec.json"):
            return data
        sealed = json.loads(data)
        change(sealed)
        return json.dumps(sealed)

    assert words in refusal(rewrite(good, scratch, tamper))


@pytest.mark.parametrize("text", [b"{", b"[]", b"7", b"\xff\xff"])
def test_a_spec_that_is_no_object_is_refused(good, scratch, text):
    refusal(rewrite(good, scratch, lambda name, data: text if name.endswith("spec.json") else data))


def goldens(spec):
    right = make_golden("half", spec)
    yield "no steps", Golden(right.columns[:0], right.masks[:0]), "golden columns"
    yield "other bins", Golden(right.columns[:, :, 1:], right.masks[:, :, 1:]), "golden columns"
    yield "one channel", Golden(right.columns[:, :1], right.masks[:, :1]), "golden columns"
    yield "no complex pair", Golden(right.columns[..., :1], right.masks), "golden columns"
    yield "a scalar", Golden(np.float32(1), right.masks), "golden columns"
    yield "masks of another length", Golden(right.columns, right.masks[1:]), "golden masks"
    yield "masks of other bins", Golden(right.columns, right.masks[:, :, 1:]), "golden masks"


@pytest.mark.parametrize("index", range(7))
def test_golden_frames_of_another_shape_are_refused(scratch, parts, index):
    _, golden, words = list(goldens(parts.spec))[index]
    write_package(scratch, parts.program, parts.spec, golden)
    assert f"{words} have shape" in refusal(scratch)


def test_golden_frames_that_hide_a_pickle_are_refused(scratch, good, parts):
    frames = io.BytesIO()
    np.savez(frames, columns=np.array([{"a": 1}], object), masks=parts.golden.masks)
    write_package(scratch, parts.program, parts.spec, parts.golden)
    sealed_right = entries_of(scratch)
    root = next(iter(sealed_right)).split("/")[0]
    # sealed with its right checksum, as an attacker would
    digest = hashlib.sha256()
    sealed_right[f"{root}/extra/golden.npz"] = frames.getvalue()
    for name in sorted(sealed_right):
        if not name.endswith("spec.json"):
            digest.update(name.encode() + b"\0" + sealed_right[name])
    sealed = {"spec": json.loads(parts.spec.to_json()), "content_sha256": digest.hexdigest()}
    sealed_right[f"{root}/extra/spec.json"] = json.dumps(sealed).encode()
    with zipfile.ZipFile(scratch, "w") as archive:
        for name, data in sealed_right.items():
            archive.writestr(name, data)
    assert "not a model file" in refusal(scratch)


def test_helper_refuses_a_kind_it_does_not_know(tmp_path):
    with pytest.raises(ValueError, match="kind 'loud': one of ones, "):
        make_model(tmp_path / "m.rtsep", "loud")


def test_golden_frames_are_as_many_as_said(parts):
    assert len(parts.golden.columns) == GOLDEN_STEPS


def test_a_full_disk_leaves_no_half_model(tmp_path, parts, monkeypatch):
    def full(self, content):
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_package(tmp_path / "a.pt", parts.program, parts.spec, parts.golden)
    assert not list(tmp_path.glob("a.pt*"))
