"""Every file that the wheel ships has its licence beside it, and the package's metadata covers them all."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from rtsep.model.catalog import shipped_folder
from rtsep.model.contract import ModelSpec
from rtsep.model.licences import (
    FREE,
    NON_COMMERCIAL,
    NOT_STATED,
    RESTRICTED,
    licence_file,
    licence_text,
    sets_without_licence,
    spdx_of,
    terms_of,
)
from rtsep.model.package import read_package
from tests.cli.program import rtsep_here
from train.data.licences import licence_of

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODELS = sorted(shipped_folder().glob("*.pt"))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_the_licence_file_of_a_model_follows_from_the_model(path):
    command = f"python -m rtsep.model.licences {path.relative_to(ROOT)}"
    assert licence_file(path).read_text() == licence_text(read_package(path)), f"write it again: {command}"


def test_the_demo_song_has_its_licence_beside_it():
    assert "CC0 1.0 Universal" in (ROOT / "rtsep" / "assets" / "demo.LICENSE.txt").read_text()


def test_the_licence_expression_covers_all_that_the_wheel_holds():
    models = {spdx_of(read_package(path).spec) for path in MODELS}
    assert set(PROJECT["license"].split(" AND ")) == {"MIT", "CC0-1.0", *models}
    shipped = {path for pattern in PROJECT["license-files"] for path in ROOT.glob(pattern)}
    assert shipped == {
        ROOT / "LICENSE",
        ROOT / "rtsep" / "assets" / "demo.LICENSE.txt",
        *map(licence_file, MODELS),
    }


def spec(*licences: str, licence: str | None = None) -> ModelSpec:
    data = tuple(f"set {number}: 1.0 min, {text}" for number, text in enumerate(licences))
    text = licence_of(data) if licence is None else licence
    return ModelSpec("m", "causal", 2048, 512, 256, 0, data=data, licence=text)


@pytest.mark.parametrize(
    ("licences", "terms"),
    [
        (["CC0 1.0", "CC BY 4.0"], FREE),
        (["CC0 1.0", "GPL 3.0 and CC BY-SA 4.0"], FREE),
        (["CC0 1.0", "CC BY-NC 4.0"], NON_COMMERCIAL),
        (["CC0 1.0", "research set, no licence text found"], NON_COMMERCIAL),
        (["CC0 1.0", "All rights mine"], RESTRICTED),
        (["CC0 1.0", "unknown (no licence file beside the audio)"], NOT_STATED),
        (["All rights mine", "CC BY-NC 4.0", "unknown"], NON_COMMERCIAL),
        ([], NOT_STATED),
    ],
)
def test_the_strictest_licence_of_the_data_counts(licences, terms):
    assert terms_of(spec(*licences)) == terms
    assert terms_of(spec(*licences, licence="")) == terms


def test_the_sentence_in_the_file_counts_as_well():
    assert terms_of(spec("CC0 1.0", licence="non-commercial use only, says its author")) == NON_COMMERCIAL
    assert terms_of(spec(licence="MIT")) == FREE
    assert terms_of(spec(licence="ask me")) == RESTRICTED


def test_sets_without_a_licence_are_found_by_name():
    data = ("a: 1.0 min, CC0 1.0", "b: 2.0 min, unknown", "c: 1.0 min, a set, no licence text found", "d")
    assert sets_without_licence(data) == ["b", "c", "d"]


def test_the_list_of_models_tells_each_licence_in_two_words_on_80_columns():
    lines = rtsep_here("models", COLUMNS="80").out
    assert max(map(len, lines)) <= 80
    for path in MODELS:
        package = read_package(path)
        figures, purpose = [line for line in lines if line.startswith(f"{package.spec.name} ")]
        assert re.search(rf" {terms_of(package.spec)} +{package.sha256[:8]}\b", figures)
        assert package.sha256[:8] not in purpose


def test_one_model_tells_its_licence_in_full_on_80_columns():
    spec = read_package(shipped_folder() / "live.pt").spec
    lines = rtsep_here("models", "live", COLUMNS="80").out
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert spec.licence in text
    assert f"Training sets without a stated licence: {', '.join(sets_without_licence(spec.data))}." in text
    assert {"mir1k", "ssvd", "emvd"} <= set(sets_without_licence(spec.data))
