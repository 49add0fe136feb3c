import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep import controls as table
from rtsep.controls import BY_NAME, TABLE, Controls
from rtsep.errors import UsageError


def test_the_control_block_has_the_tables_rows():
    for index, control in enumerate(TABLE):
        assert getattr(table, control.name.upper()) == index
    assert len({control.name for control in TABLE}) == len(TABLE)


@pytest.mark.parametrize("control", TABLE, ids=BY_NAME)
def test_every_control_says_what_a_musician_hears(control):
    assert control.effect and control.effect != control.meaning
    for term in ("mask", "bin", "coefficient", "time constant", "dry"):
        assert term not in control.effect.split()


def test_defaults_are_legal_and_what_a_new_set_holds():
    for control in TABLE:
        assert control.check(control.default) == control.default
    assert Controls().snapshot() == {control.name: control.default for control in TABLE}


@pytest.mark.parametrize("control", TABLE, ids=BY_NAME)
def test_limits_are_legal_and_what_lies_beyond_is_not(control):
    assert control.check(control.minimum) == control.minimum
    assert control.check(control.maximum) == control.maximum
    for beyond in (
        np.nextafter(control.minimum, -np.inf),
        np.nextafter(control.maximum, np.inf),
        math.inf,
        math.nan,
    ):
        with pytest.raises(UsageError, match=f"{control.name} .*out of range"):
            control.check(float(beyond))


@given(st.sampled_from([c for c in TABLE if c.unit not in ("switch", "choice")]), st.floats(0, 1))
def test_numbers_are_read_as_written(control, share):
    value = control.minimum + share * (control.maximum - control.minimum)
    assert control.parse(repr(value)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("threshold", " 0.25 ", 0.25),
        ("vocals_gain", "-6dB", -6),
        ("vocals_gain", "+3 db", 3),
        ("vocals_gain", "-inf", -144),
        ("vocals_gain", "-INF dB", -144),
        ("smoothing", "20ms", 20),
        ("smoothing", "20 ms", 20),
        ("mask", "Binary", 1),
        ("mask", "soft", 0),
        ("bypass", "on", 1),
        ("bypass", "OFF", 0),
        ("bypass", "1", 1),
    ],
)
def test_text_is_read_as_people_write_it(name, text, value):
    assert BY_NAME[name].parse(text) == value
    controls = Controls()
    controls.set_text(name, text)
    assert getattr(controls, name) == value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("threshold", "loud", "threshold 'loud': not a number; 0 to 1"),
        ("threshold", "1.5", "threshold 1.5: out of range; 0 to 1"),
        ("threshold", "-inf", "threshold -inf: out of range"),
        ("threshold", "nan", "threshold nan: out of range"),
        ("vocals_gain", "13", "vocals_gain 13: out of range; -inf to 12 dB"),
        ("smoothing", "101ms", "smoothing 101: out of range; 0 to 100 ms"),
        ("mask", "binry", "mask 'binry': must be one of soft, binary; did you mean 'binary'?"),
        ("mask", "1", "mask '1': must be one of soft, binary"),
        ("bypass", "maybe", "bypass 'maybe': not a number; on or off"),
        ("bypass", "", "bypass '': not a number; on or off"),
    ],
)
def test_errors_name_what_was_given_and_what_is_accepted(name, text, words):
    controls = Controls()
    before = controls.snapshot()
    with pytest.raises(UsageError) as error:
        controls.set_text(name, text)
    assert str(error.value).startswith(words)
    assert controls.snapshot() == before


@pytest.mark.parametrize("name", [c.name for c in TABLE if c.unit in ("switch", "choice")])
def test_a_switch_or_choice_has_no_middle(name):
    for between in (0.5, 0.999):
        with pytest.raises(UsageError):
            BY_NAME[name].check(between)


@pytest.mark.parametrize(
    "use", [lambda c: c.treshold, lambda c: setattr(c, "treshold", 1), lambda c: c.set_text("treshold", "1")]
)
def test_an_unknown_control_is_refused_with_the_nearest_word(use):
    with pytest.raises(
        UsageError, match=r"unknown control 'treshold'; did you mean 'threshold'\?.*the controls are .*bypass"
    ):
        use(Controls())


@pytest.mark.parametrize("value", ["loud", None, [1], 10**400, 1j], ids=range(5))
def test_what_is_no_number_is_refused_with_what_is_accepted(value):
    with pytest.raises(UsageError, match=r"^threshold .*: not a number; 0 to 1$"):
        Controls().threshold = value


def test_setting_checks_the_range_and_keeps_the_old_value():
    controls = Controls(threshold=0.3)
    with pytest.raises(UsageError):
        controls.threshold = 2
    assert controls.threshold == 0.3
    controls.vocals_gain = -math.inf
    assert controls.vocals_gain == table.MINUS_INFINITY_DB


@given(st.sampled_from(TABLE), st.floats(0, 1))
def test_a_value_lies_in_its_slot_as_float64_bits(control, share):
    value = control.minimum if share < 0.5 else control.maximum
    controls = Controls(**{control.name: value})
    assert controls.control_block.dtype == np.int64
    assert controls.slots is controls.control_block  # its old name
    assert controls.control_block.view(np.float64)[list(BY_NAME).index(control.name)] == value


def test_sets_do_not_share_values():
    first, second = Controls(), Controls()
    first.threshold = 0.7
    assert second.threshold == 0


def test_a_reader_never_sees_half_a_value():
    controls = Controls(threshold=1e-300)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            controls.threshold = 1.0
            controls.threshold = 1e-300

    writer = threading.Thread(target=write)
    writer.start()
    seen = {controls.threshold for _ in range(2000)}
    stop.set()
    writer.join()
    assert seen <= {1.0, 1e-300}
