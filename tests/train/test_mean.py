"""The mean of several runs' weights, as a run of its own."""

import dataclasses

import pytest
import torch

from rtsep.errors import ModelError, OutputError, UsageError
from train import __main__ as cli
from train.learn import checkpoint as checkpoints
from train.learn.export import export
from train.learn.fit import fit
from train.learn.mean import mean, mean_of
from train.pages.run_description import describe


@pytest.fixture
def two(config, tmp_path):
    """Two runs from one start, which differ in what they were given."""
    first = dataclasses.replace(config, run=tmp_path / "first")
    fit(first)
    second = dataclasses.replace(config, run=tmp_path / "second", seed=config.seed + 1, init=first.run)
    fit(second)
    return first.run, second.run


def test_each_weight_is_the_mean_and_the_result_is_a_run(two, tmp_path):
    made = mean(two, [1.0, 3.0], tmp_path / "mean")
    states = [checkpoints.load(run) for run in two]
    assert any(not torch.equal(states[0].average[name], states[1].average[name]) for name in made.average)
    for name, value in checkpoints.load(tmp_path / "mean").average.items():
        first, second = (state.average[name] for state in states)
        if torch.is_floating_point(value):
            torch.testing.assert_close(value, 0.25 * first + 0.75 * second)
        else:
            assert torch.equal(value, first)
    assert set(made.data) == set(states[0].data) | set(states[1].data)
    assert made.spent["audio_s"] == states[1].spent["audio_s"], "the second continues the first"
    export(tmp_path / "mean", tmp_path / "mean.pt")
    assert checkpoints.load(tmp_path / "mean.pt").average.keys() == made.average.keys()


def test_the_mean_of_a_run_with_itself_is_that_run(two, tmp_path):
    same = mean([two[0], two[0]], [1.0, 1.0], tmp_path / "same")
    for name, value in checkpoints.load(two[0]).average.items():
        torch.testing.assert_close(same.average[name], value)


def test_a_negative_share_takes_away(two, tmp_path):
    """The first, moved by the difference from the first to the second, is the second."""
    made = mean([two[1], two[0], two[0]], [1.0, -1.0, 1.0], tmp_path / "moved")
    for name, value in checkpoints.load(two[1]).average.items():
        if torch.is_floating_point(value):
            torch.testing.assert_close(made.average[name], value, rtol=1e-4, atol=1e-5)
    export(tmp_path / "moved", tmp_path / "moved.pt")


def test_counts_are_not_averaged():
    made = mean_of([{"seen": torch.tensor(3)}, {"seen": torch.tensor(8)}], [0.5, 0.5])
    assert made["seen"].item() == 3 and not torch.is_floating_point(made["seen"])


def test_what_has_no_mean_is_refused_and_nothing_is_written(two, config, tmp_path):
    other = dataclasses.replace(config.system, layers=config.system.layers + 1)
    fit(dataclasses.replace(config, system=other, run=tmp_path / "other"))
    with pytest.raises(ModelError, match="not the same net"):
        mean([two[0], tmp_path / "other"], [1.0, 1.0], tmp_path / "mean")
    for shares in ([1.0], [1.0, 0.0], [1.0, -1.0], [1.0, -2.0], [float("nan"), 1.0], [float("inf"), 1.0]):
        with pytest.raises(UsageError, match=r"--shares: .*(other|greater) than 0"):
            mean(two, shares, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
    with pytest.raises(OutputError, match="another folder"):
        mean(two, [1.0, 1.0], two[0])


def test_the_command(two, tmp_path, capsys):
    words = ["mean", *map(str, two), "--run", str(tmp_path / "mean")]
    assert cli.main(words) == 0
    assert "the mean of 2 runs" in capsys.readouterr().out
    record = describe(tmp_path / "mean", "the mean", "a note")
    assert record.init == two[1].name
    assert cli.main(words) == OutputError.exit_code
