"""`--compute cpu|cuda`, and its old name `--device`, which is still accepted everywhere."""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path

import pytest

import rtsep
from rtsep.bench import file, hop, roundtrip, start, stress
from rtsep.cli.completion import whole_parser
from rtsep.cli.live import live_parser
from rtsep.cli.main import main
from rtsep.cli.settings import Config, config_file, options_of
from rtsep.compute import add_compute, chosen_compute
from rtsep.errors import UsageError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("RTSEP_CONFIG", raising=False)


def write(text: str) -> Path:
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("flag", ["--compute", "--device"])
def test_both_flags_of_live_choose_where_the_model_runs(flag):
    assert live_parser().parse_args([flag, "cuda"]).compute == "cuda"
    assert live_parser().parse_args([]).compute == "cpu"


@pytest.mark.parametrize("command", [file, hop, roundtrip, start, stress])
def test_both_flags_of_the_benchmarks_do(command):
    parser = argparse.ArgumentParser()
    command.fill_parser(parser)
    assert parser.parse_args(["--compute", "cuda"]).compute == "cuda"
    assert parser.parse_args(["--device", "cuda"]).compute == "cuda"
    assert parser.parse_args([]).compute == "cpu"


def test_the_old_flag_is_hidden():
    parser = argparse.ArgumentParser()
    add_compute(parser, "where the model runs")
    text = parser.format_help()
    assert "--compute {cpu,cuda}" in text
    assert "--device" not in text
    commands = next(a for a in whole_parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    for command in ("file", "live"):
        assert "--compute" in commands[command].format_help()
        assert "--device " not in commands[command].format_help()


def test_the_old_key_of_the_file_counts_and_the_new_one_is_written(capfd):
    path = write('# mine\ndevice = "cuda"  # fast\nblock = 64\n')
    settings = options_of(live_parser())
    assert "device" not in settings
    assert Config(settings).values == {"compute": "cuda", "block": 64}
    assert main(["config", "--why", "device", "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert (said["name"], said["value"]) == ("compute", "cuda")
    assert said["layers"][0]["place"] == f"{path}, line 2"
    assert main(["config", "set", "device", "cpu"]) == 0
    assert path.read_text() == '# mine\nblock = 64\ncompute = "cpu"\n'


@pytest.mark.parametrize("name", ["compute", "device"])
def test_the_old_key_is_taken_out_by_either_name(name):
    path = write('device = "cuda"\nblock = 64\n')
    assert main(["config", "unset", name]) == 0
    assert path.read_text() == "block = 64\n"


def test_both_keys_at_once_are_refused_with_the_line():
    write('compute = "cpu"\ndevice = "cuda"\n')
    with pytest.raises(UsageError, match=r"line 2: compute and device are the same option: keep compute$"):
        Config(options_of(live_parser()))


@pytest.mark.parametrize("home_of", [rtsep.Session, rtsep.Separator])
@pytest.mark.parametrize("keyword", ["compute", "device"])
def test_both_keyword_arguments_are_accepted(home_of, keyword):
    assert keyword in inspect.signature(home_of).parameters
    with pytest.raises(UsageError, match="compute 'tpu': must be one of cpu, cuda"):
        home_of(**{keyword: "tpu"})


def test_the_keyword_arguments_mean_the_same():
    assert chosen_compute(None, None) == "cpu"
    assert (
        chosen_compute("cuda", None)
        == chosen_compute(None, "cuda")
        == chosen_compute("cuda", "cuda")
        == "cuda"
    )
    with pytest.raises(UsageError, match="device is the old name"):
        chosen_compute("cpu", "cuda")
