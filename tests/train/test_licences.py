import time

import pytest

from rtsep.errors import ModelError
from rtsep.model.licences import is_free
from train.data.cache import Song, Stem
from train.data.licences import all_sets, check_data, data_of, is_open, licence_of
from train.data.readers.base import known_licences, licence_in
from train.score.peers import Spleeter

FREE = ("CC0 1.0", "CC BY 4.0", "public-domain dedication", "free for any use, with link")
SILENT = "unknown (no licence file beside the audio)"


def of(*licences):
    return licence_of([f"set {i}: 1.0 min, {licence}" for i, licence in enumerate(licences)])


@pytest.mark.parametrize(
    "licence",
    ["CC BY-NC-SA 4.0", "CC BY-NC (as its song pack says)", "academic purposes only (DSD100)",
     "Restricted (DSD100 / Mixing Secrets)", "research set, no licence text found",
     "Cambridge Music Technology multitrack, educational use", "GPL 3.0 and CC BY-NC 4.0"],
)  # fmt: skip
def test_one_set_for_research_restricts_the_model_and_is_named(licence):
    assert of(*FREE, licence) == f"research and non-commercial use only: trained on material under {licence}"


def test_nothing_is_claimed_that_is_not_in_the_data():
    assert of(SILENT) == of(*FREE, SILENT) == "the data states no licence: the owner of the data decides"
    assert of(*FREE, "CC BY-ND 4.0", "All rights mine", "All rights mine") == (
        "restricted by its data: All rights mine; CC BY-ND 4.0"
    )
    assert of("mine", SILENT) == (
        "restricted by its data: mine; no licence is stated for a part of the data: its owner decides"
    )
    assert of("CC BY-NC 4.0", SILENT).startswith("research and non-commercial use only: trained on material")
    assert of("CC BY-NC 4.0", SILENT).endswith("CC BY-NC 4.0; no licence is stated for a part of the data: "
                                               "its owner decides")  # fmt: skip
    assert licence_of([]) == ""


@pytest.mark.parametrize(
    ("licence", "is_it"),
    [("CC0 1.0", True), ("CC BY", True), ("CC BY 3.0", True), ("public-domain dedication", True),
     ("per Debian package", True), ("MIT", True),
     ("CC BY-SA 3.0", False), ("CC BY-NC 4.0", False), ("GPL 3.0", False),
     ("CC BY 4.0 and CC BY-NC 4.0", False), (SILENT, False),
     (f"CC BY 4.0, stems by {Spleeter.title}", True), (f"CC BY-NC 4.0, stems by {Spleeter.title}", False),
     ("CC BY 4.0, stems by a teacher", False)],
)  # fmt: skip
def test_what_a_model_for_everyone_may_learn_from(licence, is_it):
    assert is_open(licence) is is_it


def test_free_is_free_and_share_alike_is_said():
    assert of(*FREE).startswith("free to use in anything") and "CC BY 4.0" in of(*FREE)
    for licence in ("GPL 3.0", "CC BY-SA 3.0", "per Debian package", "GPL 2.0 and CC BY-SA 4.0"):
        said = of(*FREE, licence)
        assert said.startswith("free to use, under the same terms") and "share-alike" in said
        assert licence in said and "anything" not in said


@pytest.mark.parametrize(
    ("text", "licence"),
    [("Creative Commons Legal Code\n\nCC0 1.0 Universal\n\n    CREATIVE COMMONS CORPORATION", "CC0 1.0"),
     ("\nThis work is licensed under CC BY-NC-SA 4.0.\n", "CC BY-NC-SA 4.0"),
     ("Attribution-NonCommercial-ShareAlike 4.0 International\n\n======", "CC BY-NC-SA 4.0"),
     ("Creative Commons Legal Code\n\nAttribution 3.0 Unported\n", "CC BY 3.0"),
     ("           GNU GENERAL PUBLIC LICENSE\n              Version 3, 29 June 2007", "GPL 3.0"),
     ("Released into the public domain by its author.", "public domain"),
     ("Music: CC-BY-SA-3.0\nSounds: GPLv2", "CC BY-SA 3.0 and GPL 2.0"),
     ("My own terms\nask me", "My own terms"),
     ("(c) me. All rights reserved.\nNot CC BY.", "(c) me. All rights reserved."),
     ("This is not in the public domain", "This is not in the public domain"),
     ("MIT License\n\nCopyright (c) 2020 A. B.", "MIT"), ("MIT", "MIT"),
     ("SPDX-License-Identifier: MIT", "MIT"),
     ("Attribution Non Commercial Share Alike 4.0", "CC BY-NC-SA 4.0"), ("CC_BY_NC_4.0", "CC BY-NC 4.0"),
     ("CC BY NC 4.0", "CC BY-NC 4.0"), ("CC BY NC SA 4.0", "CC BY-NC-SA 4.0"),
     ("CC BY-NC4.0", "CC BY-NC 4.0"),
     ("CC-BY-NonCommercial 4.0", "CC BY-NC 4.0"), ("CC BY\u2011NC 4.0", "CC BY-NC 4.0"),
     ("Creative Commons BY-ND", "CC BY-ND"), ("CC BY Sandra", "CC BY"), ("CC BY-NC-SA3.0", "CC BY-NC-SA 3.0"),
     ("Attribution 4.0 International\n\nCreative Commons Corporation is not a law firm and does not "
      "provide legal services. Distribution of Creative Commons public licenses does not create a relation.",
      "CC BY 4.0"),
     ("", "unknown")],
)  # fmt: skip
def test_what_a_licence_file_says(tmp_path, text, licence):
    (tmp_path / "LICENSE.txt").write_text(text)
    assert licence_in(tmp_path) == licence


def test_ids_far_down_in_a_text_are_not_its_own(tmp_path):
    (tmp_path / "LICENCE").write_text("My terms\n" * 20 + "unlike CC BY 4.0")
    assert licence_in(tmp_path) == "My terms"
    assert known_licences("nothing of the kind") == []


def test_earlier_training_data_stays_in_the_card():
    before = ("a: 3.0 min, CC0 1.0", "b: 1.0 min, CC BY-NC 4.0")
    assert all_sets(before, ("a: 5.0 min, CC0 1.0",)) == ("a: 5.0 min, CC0 1.0", "b: 1.0 min, CC BY-NC 4.0")


def test_a_long_chain_of_terms_takes_no_time():
    began = time.thread_time()
    assert known_licences("Attribution" + "NoDeriv" * 26 + "!") == []
    assert time.thread_time() - began < 0.5
    assert known_licences("Attribution-NonCommercial-NoDerivatives 4.0") == ["CC BY-NC-ND 4.0"]
    assert known_licences("AttributionNoDerivsShareAlike, 3.0") == ["CC BY-ND-SA 3.0"]


@pytest.mark.parametrize(
    "text",
    ["CC BY 4.0, non-commercial use only", "CC BY 4.0\nnon-commercial use only", "CC BY (NC)",
     "CC BY-NCX 4.0",
     "CC BY-nonc 4.0", "CC BY 4.0, but no derivatives", "CC0\nfor personal use only", "not under CC BY 4.0",
     "This is not CC0", "CC BY 4.0; commercial use is fine, not for sale in commercial games",
     f"CC BY 4.0 {'x' * 90} non-commercial", f"CC BY {'x ' * 90} no derivatives", "CC BY\u00ad-N\u200bC-only",
     "MIT License, not for commercial use", "GPL 3.0, nicht kommerziell", "CC BY. All rights reserved.",
     "Not under the MIT License", "free for any private use", "CC BY for teaching\nAcademic use only"],
)  # fmt: skip
def test_an_unclear_licence_is_never_free(tmp_path, text):
    (tmp_path / "LICENSE").write_text(text)
    said = licence_in(tmp_path)
    assert not is_free(said) and not is_open(said) and not of(said).startswith("free"), said


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"Licence:\tall  mine\x1b[2J\r\n", "Licence: all mine\\x1b[2J"),
     ("\nmine, too\n".encode("utf-16"), "mine, too"),
     (b"\xef\xbb\xbfCC0", "CC0 1.0"), (b"mine \xff\0", "mine \ufffd\\x00")],
)  # fmt: skip
def test_a_model_file_holds_what_a_licence_file_says(tmp_path, content, said):
    (tmp_path / "LICENSE").write_bytes(content)
    assert licence_in(tmp_path) == said
    song = Song(
        "a", "my\tset \x07\udce9", "train", "voice", "of a\ttable", 22050.0, {"vocals": Stem(0, 2646000, 1)}
    )
    data = (*data_of([song]), f"other: 1.0 min, {said}")
    assert data[0] == "my set \\x07\\udce9: 1.0 min, of a table"
    check_data(data)
    assert all_sets(["a: 1.0 min, of an\tearlier version"], ()) == ("a: 1.0 min, of an earlier version",)


def test_many_licences_fit_into_a_model_file_or_stop_before_the_training():
    many = [f"set {i}: 1.0 min, {i:03} {'x' * 76}" for i in range(600)]
    check_data(tuple(many))
    assert licence_of(many).endswith("; 479 more, as listed with the data") and "120 xxx" in licence_of(many)
    assert licence_of([*many, "z: 1.0 min, CC BY-NC 4.0"]).startswith("research and non-commercial use only")
    with pytest.raises(ModelError, match=r"no model file holds .* 20,001 characters"):
        check_data(("set: 1.0 min, " + "x" * 19_987,))
    with pytest.raises(ModelError, match=r"9,000 sets are too long .* fewer folders"):
        check_data(tuple(f"{i:04} {'x' * 80}: 1.0 min, {'y' * 80}" for i in range(9000)))
