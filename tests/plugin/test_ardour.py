"""The plugin in Ardour: exports, automation, save and load, instances that come and go."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.offline.separator import Separator
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
    assert str(counting_model) in session.saved_states()[-1]


AUTOMATION = """
local automation
for n = 0, 40 do
  local fine, list, _, about = pcall(ARDOUR.LuaAPI.plugin_automation, bus:nth_plugin(0), n)
  if fine and not list:isnil() and about.label == "{control}" then automation = list end
end
automation:set_interpolation(Evoral.InterpolationStyle.Discrete)
automation:add(Temporal.timepos_t(0), 0.0, false, true)
automation:add(Temporal.timepos_t({half}), 1.0, false, true)
bus:nth_plugin(0):to_automatable():automation_control(
  Evoral.Parameter(ARDOUR.AutomationType.PluginAutomation, 0, {port}), false
):set_automation_state(ARDOUR.AutoState.Play)
"""


def test_automation_is_written_and_played(session, counting_model):
    """Balance goes from the music to the voice in the middle."""
    from rtsep.controls import BALANCE
    from rtsep.plugin.ttl import PORT_CONTROLS

    sound = song(4.0)
    half = sound.shape[1] // 2
    session.make(
        sound, MAIN, automate=AUTOMATION.format(control="Balance", half=half, port=PORT_CONTROLS + BALANCE)
    )
    exported, _ = session.export()
    stems = Separator(counting_model, RATE, 2).separate(sound)
    margin = RATE // 4
    np.testing.assert_array_equal(
        exported[:, margin : half - margin], stems.instrumental[:, margin : half - margin]
    )
    np.testing.assert_array_equal(exported[:, half + margin :], stems.vocals[:, half + margin :])


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
