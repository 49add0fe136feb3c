"""Scores of the very same files are reused; everything else is scored again."""

import json
import shutil

import numpy as np
import pytest

from benchmarks import quality
from benchmarks.quality import MIXTURE, Scorer, earlier
from rtsep.model.package import read_package
from tests.models import make_model
from tests.train.recordings import write_track
from train.score.evaluate import evaluate
from train.score.scores import TARGETS


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A track, a model, and the folder with its evaluation."""
    folder = tmp_path_factory.mktemp("scored")
    track = write_track(folder / "tracks/one", seconds=2.1)
    model = make_model(folder / "half.pt", "half", name="half")
    evaluate(model, track, folder / "scores/half.json", references=("mixture",))
    return folder, track, read_package(model)


class Counting(Scorer):
    """Notes what it separates."""

    def separate(self, name, track):
        self.separated = [*getattr(self, "separated", []), name]
        return super().separate(name, track)


def test_figures_of_the_same_file_and_track_are_not_measured_again(scored):
    folder, track, package = scored
    scorer = Counting([package], [], earlier(folder / "scores", [package], [MIXTURE]))
    row = scorer.score(track)
    assert row["again"] == 0 and not hasattr(scorer, "separated")
    fresh = Counting([package], [], earlier(None, [package], [MIXTURE]))
    measured = fresh.score(track)
    assert measured["again"] == 2 and fresh.separated == [MIXTURE, "half"]
    for name in (MIXTURE, "half"):
        for target in TARGETS:
            found, expected = row["scores"][name][target], measured["scores"][name][target]
            np.testing.assert_allclose([found[m] for m in expected], list(expected.values()), atol=1e-3)


def test_another_model_file_of_the_same_name_is_measured(scored, tmp_path):
    folder, track, _ = scored
    changed = read_package(make_model(tmp_path / "half.pt", "zeros", name="half"))
    scorer = Counting([changed], [], earlier(folder / "scores", [changed], [MIXTURE]))
    row = scorer.score(track)
    assert scorer.separated == ["half"] and row["again"] == 1, "the mixture is what it was"


def test_another_length_or_system_is_measured(scored, tmp_path):
    folder, _, package = scored
    longer = write_track(tmp_path / "one", seconds=2.3)
    found = earlier(folder / "scores", [package], [MIXTURE, "centre"])
    scorer = Counting([package], ["centre"], found)
    assert scorer.score(longer)["again"] == 3 and scorer.separated == [MIXTURE, "half", "centre"]


def test_figures_that_do_not_exist_are_unknown_and_other_files_no_figures(scored, tmp_path):
    folder, track, package = scored
    scores = tmp_path / "scores"
    shutil.copytree(folder / "scores", scores)
    (scores / "other.json").write_text('{"rows": []}')
    (scores / "broken.json").write_text("{")
    content = json.loads((scores / "half.json").read_text())
    content["clips"][0]["scores"]["model"]["vocals"]["sdr"] = None
    (scores / "half.json").write_text(json.dumps(content))
    row = Counting([package], [], earlier(scores, [package], [MIXTURE])).score(track)
    assert row["again"] == 0 and np.isnan(row["scores"]["half"]["vocals"]["sdr"])


@pytest.mark.long
def test_several_processes_give_what_one_gives(scored, tmp_path):
    folder, track, package = scored
    paths = [track, write_track(tmp_path / "two", seconds=2.1, seed=1)]
    found = earlier(folder / "scores", [package], [MIXTURE])
    judged = quality.score(paths, [package], [], found, workers=2)
    assert judged["again"] == 2, "the second track is new"
    rows = [Scorer([package], [], found).score(path) for path in paths]
    for name in (MIXTURE, "half"):
        assert list(judged["clips"][name]) == ["one", "two"]
        expected = [row["scores"][name]["vocals"]["sdr"] for row in rows]
        np.testing.assert_allclose(
            [judged["clips"][name][clip][0] for clip in ("one", "two")], expected, atol=1e-6
        )
        assert judged["summary"][f"{name}_vocals_sdr_median"] == pytest.approx(np.median(expected), abs=1e-3)
