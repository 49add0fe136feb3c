"""The plugin in Ardour: exports, automation, save and load, instances that come and go."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.controls import TABLE
from rtsep.offline.separator import Separator
from rtsep.plugin.ttl import PORT_CONTROLS, title_of
from tests.e2e import ardour
from tests.e2e.ardour_plugin import INSTRUMENTAL, MAIN, RATE, VOCALS, Session
from tests.plugin.conftest import needs_a_compiler
from tests.plugin.processes import plugin_hosts
from tests.waiting import until

pytestmark = [
    needs_a_compiler,
    pytest.mark.long,
    pytest.mark.model_process,
    pytest.mark.skipif(not ardour.installed(), reason="needs Ardour 7 (apt-get install ardour)"),
]


def song(seconds: float, quiet: int = 0) -> np.ndarray:
    sound = 0.2 * np.random.default_rng(2).standard_normal((2, round(seconds * RATE)))
    sound[:, :quiet] = 0
    return sound.astype(np.float32)


@pytest.fixture
def session(tmp_path, make_bundle, counting_model) -> Session:
    return Session(tmp_path, make_bundle(counting_model))


@pytest.mark.parametrize("quiet", [0, 700, 6000], ids=lambda quiet: f"{quiet} frames of silence first")
@pytest.mark.parametrize("output", [VOCALS, INSTRUMENTAL], ids=["vocals", "instrumental"])
def test_an_export_equals_a_file_bit_for_bit(session, counting_model, output, quiet):
    sound = song(3.0, quiet)
    session.make(sound, output)
    stems = Separator(counting_model, RATE, 2).separate(sound)
    expected = stems.vocals if output == VOCALS else stems.instrumental
    for _ in range(2):  # saved and loaded between them
        np.testing.assert_array_equal(session.export()[0], expected)
    state = session.saved_states()[-1]
    assert f"<{counting_model.name}>" in state.read_text()
    assert (state.parent / counting_model.name).resolve() == counting_model, "the host's link to the model"


AUTOMATION = """
do
  local automation
  for n = 0, 40 do
    local fine, list, _, about = pcall(ARDOUR.LuaAPI.plugin_automation, bus:nth_plugin({plugin}), n)
    if fine and not list:isnil() and about.label == "{label}" then automation = list end
  end
  assert(automation, "no control {label}")
  automation:set_interpolation(Evoral.InterpolationStyle.Discrete)
  for _, point in ipairs({{{points}}}) do
    automation:add(Temporal.timepos_t(point[1]), point[2], false, true)
  end
  bus:nth_plugin({plugin}):to_automatable():automation_control(
    Evoral.Parameter(ARDOUR.AutomationType.PluginAutomation, 0, {port}), false
  ):set_automation_state(ARDOUR.AutoState.Play)
end
"""


def automated(values: dict[str, list[float]], seconds: float, plugin: int = 0) -> str:
    """Return Lua that automates controls: each takes its next value after so many `seconds`."""
    lines = ""
    for name, steps in values.items():
        points = ", ".join(
            f"{{{round(n * seconds * RATE)}, {float(value)}}}" for n, value in enumerate(steps)
        )
        index = next(index for index, control in enumerate(TABLE) if control.name == name)
        lines += AUTOMATION.format(
            plugin=plugin, label=title_of(name), points=points, port=PORT_CONTROLS + index
        )
    return lines


def test_automation_is_written_and_played(session, counting_model):
    """A step a second, of nine controls; saved and loaded between the exports."""
    values = {
        "balance":           [0.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
        "vocals_mute":       [0,   0,   1,   0,   0,   0,   0,   0],
        "instrumental_mute": [0,   0,   0,   1,   0,   0,   0,   0],
        "bypass":            [0,   0,   0,   0,   1,   0,   0,   0],
        "vocals_gain":       [0,   0,   0,   0,   0,   -6,  0,   0],
        "instrumental_gain": [0,   0,   0,   0,   0,   -144, 0,  0],
        "instrumental_solo": [0,   0,   0,   0,   0,   0,   1,   0],
        "vocals_solo":       [0,   0,   0,   0,   0,   0,   0,   1],
    }  # fmt: skip
    sound = song(8.0)
    session.make(sound, MAIN, automate=automated(values, 1.0))
    stems = Separator(counting_model, RATE, 2).separate(sound)
    vocals, instrumental = stems.vocals, stems.instrumental
    softer = np.float32(10 ** (-6 / 20)) * vocals
    expected = (instrumental, vocals, instrumental, vocals, sound, softer, instrumental, vocals)
    for _ in range(2):
        exported, _ = session.export()
        for second, step in enumerate(expected):
            inside = slice(round((second + 0.25) * RATE), round((second + 0.95) * RATE))
            np.testing.assert_allclose(exported[:, inside], step[:, inside], rtol=1e-6, atol=1e-6)


def test_two_instances_keep_models_and_automation_of_their_own(session, counting_model):
    """The first one is bypassed by its automation, so that the second one gets the song."""
    sound = song(3.0)
    both = automated({"bypass": [1]}, 1.0) + automated({"vocals_mute": [1, 0, 1]}, 1.0, plugin=1)
    session.make(sound, MAIN, instances=2, automate=both)
    stems = Separator(counting_model, RATE, 2).separate(sound)
    for _ in range(2):
        exported, _ = session.export()
        for second, step in enumerate((stems.instrumental, sound, stems.instrumental)):
            inside = slice(round((second + 0.25) * RATE), round((second + 0.95) * RATE))
            np.testing.assert_allclose(exported[:, inside], step[:, inside], rtol=1e-6, atol=1e-6)
    assert len(session.saved_states()) >= 2


def test_a_project_without_its_model_passes_the_dry_signal_and_says_so(session, make_bundle, counting_model):
    sound = song(2.0)
    session.make(sound, MAIN)
    session.export()
    elsewhere = make_bundle()  # a machine with another model
    counting_model.unlink()
    session.use(elsewhere)
    exported, said = session.export()
    np.testing.assert_array_equal(exported, sound)
    assert "the project's model is missing" in said


REMOVE = """
local bus = session:route_by_name("bus")
session:request_roll(ARDOUR.TransportRequestSource.TRS_UI)
ARDOUR.LuaAPI.usleep(1500000)
bus:remove_processor(bus:nth_plugin(0), nil, true)
ARDOUR.LuaAPI.usleep(500000)
assert(bus:nth_plugin(1):isnil(), "not removed")
assert(not bus:nth_plugin(0):isnil(), "both removed")
"""


def test_one_of_two_instances_is_removed_while_it_plays(session):
    before = plugin_hosts()
    session.make(song(4.0), MAIN, instances=2)
    session.run(REMOVE)
    until(lambda: plugin_hosts() <= before, "engines should end with Ardour")
