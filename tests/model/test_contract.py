import dataclasses
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.dsp.windows import PROFILES, Framing
from rtsep.errors import ModelError
from rtsep.model.contract import SCHEMA, ModelSpec
from tests.models import FRAMINGS, make_spec


def raw(**changes):
    entries = json.loads(make_spec().to_json())
    entries.update(changes)
    return entries


def without(name):
    entries = raw()
    del entries[name]
    return entries


FULL = {
    "rates": (8192,),
    "context_hops": 24,
    "band_above": "follow",
    "params": 123,
    "macs_per_hop": 4_000_000,
    "metrics": {"vocals SDR": 4.06, "clips": [1, 2], "command": "python -m train evaluate"},
    "data": ("MUSDB18 (CC BY-NC-SA)", "own"),
    "description": "Gr\u00fc\u00dfe, \u6b4c",
}


@given(
    st.sampled_from(sorted(PROFILES)),
    st.sampled_from([1, 2]),
    st.integers(0, 9),
    st.lists(st.integers(4000, 10**6), min_size=1, max_size=4).map(tuple),
    st.one_of(st.none(), st.integers(0, 100)),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30),
)
def test_json_round_trip_keeps_everything(profile, channels, lookahead, rates, context, description):
    spec = make_spec(
        "half", profile, channels, lookahead, rates=rates, context_hops=context, description=description
    )
    assert ModelSpec.from_json(spec.to_json()) == spec


def test_json_round_trip_of_a_full_spec():
    spec = make_spec(**FULL)
    again = ModelSpec.from_json(spec.to_json().encode())
    assert again == spec
    assert isinstance(again.rates, tuple) and again.metrics["clips"] == [1, 2]


def test_the_spec_names_every_entry_in_its_json():
    # the form of today's files is named by none of them
    assert set(raw()) == {field.name for field in dataclasses.fields(ModelSpec)} - {"form"}


def test_optional_entries_may_be_left_out():
    entries = without("metrics")
    del entries["context_hops"]
    assert ModelSpec.from_json(json.dumps(entries)) == make_spec()


@pytest.mark.parametrize("name", ["name", "system", "n_fft", "synthesis", "hop", "state_size"])
def test_a_missing_entry_is_named(name):
    with pytest.raises(ModelError, match=f"entry '{name}' is missing"):
        ModelSpec.from_json(json.dumps(without(name)))


def test_a_spec_from_before_the_band_above_leaves_it_in_the_instrumental():
    assert ModelSpec.from_json(json.dumps(without("band_above"))) == make_spec()
    assert make_spec().band_above == "instrumental"


def test_an_unknown_band_above_is_refused_in_a_file_too():
    with pytest.raises(ModelError, match="band_above 'fellow' must be one of instrumental, follow"):
        ModelSpec.from_json(json.dumps(raw(band_above="fellow")))


def test_an_unknown_entry_is_named_with_the_nearest_word():
    with pytest.raises(ModelError, match=r"unknown entry 'lookahead'; did you mean 'lookahead_hops'"):
        ModelSpec.from_json(json.dumps(raw(lookahead=2)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", 3),
        ("name", None),
        ("n_fft", "2048"),
        ("n_fft", 2048.0),
        ("n_fft", True),
        ("state_size", None),
        ("context_hops", "all"),
        ("rates", 44100),
        ("rates", ["44100"]),
        ("rates", [True]),
        ("targets", "vocals"),
        ("band_above", None),
        ("band_above", ["follow"]),
        ("data", [1]),
        ("metrics", []),
        ("schema", True),
    ],
)
def test_a_mistyped_entry_is_named_with_its_value(name, value):
    with pytest.raises(ModelError) as error:
        ModelSpec.from_json(json.dumps(raw(**{name: value})))
    assert f"entry '{name}' is {value!r}" in str(error.value)


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, None, "1"])
def test_another_schema_is_refused_before_its_entries_are_looked_at(schema):
    with pytest.raises(ModelError, match=f"schema {schema} is not supported by this rtsep"):
        ModelSpec.from_json(json.dumps(raw(schema=schema, something_new=1)))


def test_no_schema_at_all_is_refused():
    with pytest.raises(ModelError, match="schema None"):
        ModelSpec.from_json(json.dumps(without("schema")))


@pytest.mark.parametrize("text", ["", "{", "nonsense", b"\xff\xfe\x00", "[" * 5])
def test_what_is_not_json_is_refused(text):
    with pytest.raises(ModelError, match="not JSON"):
        ModelSpec.from_json(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_score_that_is_no_number_of_json_is_not_known(number):
    """Python writes such numbers; `rtsep models --json` must not."""
    text = json.dumps(raw(metrics={"vocals_mean": 0.25})).replace("0.25", number)
    spec = ModelSpec.from_json(text)
    assert spec.metrics == {"vocals_mean": None}
    assert json.loads(spec.to_json(), parse_constant=pytest.fail)["metrics"] == {"vocals_mean": None}


def test_a_number_beyond_the_largest_is_refused():
    text = json.dumps(raw(metrics={"vocals_mean": 0.25})).replace("0.25", "1e999")
    with pytest.raises(ModelError, match="'metrics' contains a number that is infinite or NaN"):
        ModelSpec.from_json(text)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"spec"'])
def test_what_is_not_an_object_is_refused(text):
    with pytest.raises(ModelError, match="not a JSON object"):
        ModelSpec.from_json(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_fft": 2000}, "n_fft 2000: must be a power of two"),
        ({"synthesis": 4096}, "synthesis 4096"),
        ({"hop": 300}, "hop 300: must divide"),
        ({"n_fft": 1024, "synthesis": 1024, "hop": 900}, "model spec: hop 900: .*864 is the longest hop"),
        ({"band_above": "vocals"}, "band_above 'vocals' must be one of instrumental, follow"),
        ({"stereo": "quad"}, "stereo 'quad' must be one of left-right, mid-side"),
        ({"channels": 3}, "3 channels; only 1 or 2 are supported"),
        ({"channels": 1, "stereo": "left-right"}, "one channel gets the mid"),
        ({"targets": ("drums",)}, r"targets \['drums'\]"),
        ({"state_size": -1}, "cannot be negative"),
        ({"lookahead_hops": -1}, "cannot be negative"),
        ({"rates": ()}, r"rates \[\] are not sample rates"),
        ({"rates": (44100, 0)}, "not sample rates"),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(changes, words):
    with pytest.raises(ModelError, match=words):
        make_spec(**changes)


def test_latency_bins_and_framing_follow_from_the_sizes():
    spec = make_spec(profile="studio", lookahead=3)
    assert spec.framing == Framing(4096, 1024, 512)
    assert (spec.bins, spec.algorithmic_latency) == (2049, 1024 + 3 * 512)
    far = make_spec(**FRAMINGS["unet"])
    assert (far.bins, far.algorithmic_latency) == (513, 1024 + 127 * 768)


def test_a_spec_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_spec().hop = 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state_size": 10**15}, "state_size 1000000000000000; the maximum is 67108864"),
        ({"lookahead_hops": 10**9}, "algorithmic latency"),
        ({"rates": [10**9]}, "rate 1000000000; the maximum is 1000000"),
        ({"rates": [44100] * 1000}, "number of rates 1000"),
        ({"params": 10**400}, "entry 'params' has the number of 1329 bits"),
        (
            {"n_fft": 1 << 40, "synthesis": 1 << 40, "hop": 1 << 39},
            "n_fft 1099511627776; the maximum is 65536",
        ),
        ({"description": "x" * 10**6}, "entry 'description' has 1,000,000 characters"),
        ({"name": "a\x1b[2J"}, "entry 'name' contains control characters"),
        ({"metrics": {"deep": [{"\x07": 1}]}}, "entry 'metrics' contains control characters"),
        ({"metrics": {"model_vocals_sdr_mean": "five"}}, "'model_vocals_sdr_mean' is not a number"),
        ({"name": "half \ud800"}, "entry 'name' is not valid Unicode"),
        ({"n_fft": 1 << 70, "synthesis": 1 << 70, "hop": (1 << 69) + 2}, "n_fft of 71 bits; the maximum is"),
        ({"rates": [1]}, "rate 1; the minimum is 4000"),
        ({"rates": [10**400]}, "rate of 1329 bits; the maximum is 1000000"),
        (
            {"n_fft": 65536, "synthesis": 4, "hop": 1, "lookahead_hops": 4194300, "rates": [1_000_000]},
            "bytes of look-ahead 2199088791504; the maximum is 67108864",
        ),
        ({"lookahead_hops": 3000}, "algorithmic latency 768512; the maximum is 705600"),
    ],
    ids=range(16),
)
def test_a_spec_beyond_what_is_played_is_refused(change, words):
    with pytest.raises(ModelError, match=re.escape(words)):
        ModelSpec.from_json(json.dumps(raw() | change))


@pytest.mark.parametrize(
    "change",
    [
        {"stereo": "x" * 10**6},
        {"band_above": "x" * 10**6},
        {"targets": ["x"] * 10**5},
        {"schema": "x" * 10**6},
        {"x" * 10**6: 1},
        {"name": [1] * 10**5},
        {"metrics": {"x" * 10**4 + "_mean": "x"}},
        {"stereo": "quad\n\x1b[2J"},
    ],
    ids=range(8),
)
def test_a_refusal_is_a_short_line_whatever_the_file_says(change):
    with pytest.raises(ModelError) as refused:
        ModelSpec.from_json(json.dumps(raw() | change))
    assert len(str(refused.value)) < 300 and str(refused.value).isprintable()


def test_a_spec_that_is_nested_without_end_is_refused():
    with pytest.raises(ModelError, match="is not JSON"):
        ModelSpec.from_json("[" * 500_000)
