"""The table of faults: what happens, and the counters, the lines and the sound that must follow.

`FAULTS` happen in one process, in a `FaultRig` each, which asks its four questions.
`PROVEN` names the tests of those that need a server, a terminal or a process of their own to die.
Both together are the rows of docs/faults.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults import causes
from tests.faults.rig import FaultRig


@dataclass(frozen=True)
class Fault:
    """One row. `happens` makes the fault, and returns when it is over."""

    name: str  # the row of docs/faults.md
    happens: Callable[[FaultRig], None]
    counted: tuple[str, ...] = ()  # figures that grow
    said: tuple[str, ...] = ()  # a pattern for each line
    dry: bool = False  # the dry sound is audible meanwhile
    new_stream: bool = False  # the device is opened again


DIED = r"^model 'test-half' ended with code -9: the dry signal plays until it is back$"
MODEL_OUT = ("late_masks", "model.restarts")
AWAY = r"waiting for it to come back"

FAULTS = (
    Fault("nothing at all", causes.nothing),
    Fault("the model's process is killed", causes.model_killed, MODEL_OUT, (DIED,), dry=True),
    Fault(
        "the model's process is stopped (SIGSTOP)",
        causes.model_stopped,
        MODEL_OUT,
        (r"^model 'test-half' gave no answer for 1\.5 s: the dry signal",),
        dry=True,
    ),
    Fault("the model is ten times too slow for five seconds", causes.model_slow, ("late_masks",), dry=True),
    Fault(
        "the model reaches its memory limit",
        causes.model_at_its_memory_limit,
        ("late_masks",),  # its restarts are over with it
        (
            r"^model test-takes-memory; latency",
            r"^model 'test-takes-memory' .*memory.*: the dry signal plays until it is back$",
            r"^model test-half; latency",
        ),
        dry=True,
    ),
    Fault("a model that is asked for is damaged", causes.model_broken),
    Fault(
        "the disk is full while it records",
        causes.disk_full,
        said=(r"^recording stopped: .*No space left.*s are saved in .*; the audio continues$",),
    ),
    Fault("the disk is slow while it records", causes.disk_slow),
    Fault(
        "the folder of a recording is removed",
        causes.folder_removed,
        said=(r"^recording stopped: .*the file was removed.*nothing is saved; the audio continues$",),
    ),
    Fault("the program forks", causes.program_forks),
    Fault(
        "no file handles are left",
        causes.handles_run_out,
        MODEL_OUT,
        (rf"{DIED}|^model 'test-half' cannot be started \(Too many open files\): the dry signal",),
        dry=True,
    ),
    Fault("two sessions play at once", causes.second_session),
    Fault(
        "the device is unplugged within a block",
        causes.device_unplugged,
        said=(rf"^the box was unplugged; {AWAY}", r"is back; playback continues$"),
        new_stream=True,
    ),
    Fault(
        "no file handles are left to look for a lost device",
        causes.handles_run_out_in_search,
        said=(
            rf"^box has stopped answering; {AWAY}",
            rf"^Too many open files; {AWAY}",
            r"is back; playback continues$",
        ),
        new_stream=True,
    ),
    Fault(
        "the device stops calling",
        causes.device_silent,
        said=(rf"^box has stopped answering; {AWAY}", r"is back; playback continues$"),
        new_stream=True,
    ),
)

PROVEN = {
    "the session's process is killed": (
        "tests/faults/test_killed.py::test_nothing_is_left_once_the_next_session_starts",
        "tests/realtime/test_shared_file.py::test_what_a_killed_owner_has_left_is_removed",
        "tests/surfaces/remote/test_place.py::test_the_socket_of_a_killed_session_makes_room",
    ),
    "two sessions have one name": (
        "tests/surfaces/remote/test_place.py::test_a_name_that_is_taken",
        "tests/surfaces/remote/test_place.py::test_two_that_start_at_once_never_share_a_name",
    ),
    "everything is suspended for ten seconds, or an hour": (
        "tests/faults/test_clocks.py::test_a_session_goes_on_after_an_hour_and_whatever_the_time_of_day",
        "tests/e2e/test_stopped.py::test_a_played_file_goes_on_where_it_stood_and_its_recording_is_whole",
    ),
    "the system clock is set back or forth": (
        "tests/faults/test_clocks.py::test_a_wait_lasts_as_long_wherever_the_time_of_day_is_set_to",
        "tests/faults/test_clocks.py::test_a_session_goes_on_after_an_hour_and_whatever_the_time_of_day",
    ),
    "`/dev/shm` is full": (
        "tests/realtime/test_shared_file.py::"
        "test_without_room_in_memory_it_lies_in_the_temporary_folder_and_says_so",
        "tests/realtime/test_shared_file.py::test_without_room_anywhere_it_is_refused_in_a_line",
    ),
    "the audio server stops, or is restarted": (
        "tests/e2e/test_server_lost.py::test_it_waits_and_plays_again_on_the_new_server",
        "tests/e2e/test_pipewire.py::test_a_restart_is_waited_for",
        "tests/e2e/test_pulse.py::test_a_server_that_ends_is_waited_for_and_played_on_again",
    ),
    "the audio server freezes": ("tests/e2e/test_server_lost.py::test_a_frozen_server_is_no_hang",),
    "the audio server changes its period": (
        "tests/e2e/test_server_lost.py::test_a_server_that_changes_its_period_is_followed_in_place",
        "tests/audio/test_changing_blocks.py::test_another_block_costs_no_frame_and_has_its_own_delay",
    ),
    "the audio server changes its rate": (
        "tests/e2e/test_pipewire.py::test_changes_of_quantum_and_rate_are_followed_in_place",
    ),
    "a sink of a sound server leaves": (
        "tests/e2e/test_pulse.py::test_a_sink_that_leaves_is_waited_for_by_its_name",
    ),
    "a MIDI controller or port vanishes": (
        "tests/e2e/test_midi.py::test_controllers_and_servers_may_come_and_go_while_it_plays",
        "tests/surfaces/midi/test_links.py::test_a_controller_leaves_and_returns_under_another_number",
    ),
    "two MIDI controllers have one name": (
        "tests/surfaces/midi/test_links.py::test_two_controllers_of_one_kind_are_two_links",
    ),
    "the MIDI process dies or hangs": (
        "tests/surfaces/midi/test_ports.py::"
        "test_one_that_hangs_or_dies_is_replaced_and_its_port_is_known_to_be_gone",
    ),
    "a preset is damaged, or of a newer version": (
        "tests/surfaces/test_presets.py::test_what_is_wrong_with_a_preset_is_said_with_its_line",
        "tests/surfaces/test_presets.py::test_a_program_change_recalls_and_never_raises",
    ),
    "the MIDI map is damaged, or of a newer version": (
        "tests/surfaces/midi/test_map.py::test_what_is_wrong_is_said_with_its_line_and_the_remedy",
        "tests/surfaces/midi/test_follow.py::test_a_map_that_is_wrong_or_gone_leaves_the_old_one_at_work",
    ),
    "the configuration is damaged, or of a newer version": (
        "tests/cli/test_config.py::test_what_is_wrong_in_the_file_is_one_line_with_its_place",
    ),
    "the settings of the last session are damaged": (
        "tests/surfaces/test_last_state.py::test_a_broken_state_is_told_and_ignored",
    ),
    "the input is no sound: not a number, infinite, far too loud, DC, denormals": (
        "tests/faults/test_signals.py::test_the_output_is_finite_and_within_full_scale_and_sound_returns",
        "tests/faults/test_signals.py::test_the_processor_has_no_more_to_do",
    ),
    "the input is silent for an hour": (
        "tests/faults/test_signals.py::test_an_hour_of_silence_and_the_first_sound_after_it",
    ),
    "the device changes its block with every call": (
        "tests/faults/test_signals.py::test_a_thousand_random_block_sizes",
    ),
    "it has played for sixty days": (
        "tests/faults/test_age.py::test_an_old_engine_plays_as_a_young_one",
        "tests/faults/test_age.py::test_a_session_plays_across_the_moment",
    ),
    "the clocks of two devices differ by 500 ppm": (
        "tests/faults/test_two_clocks_hour.py::test_no_click_and_a_bounded_fill",
        "tests/e2e/test_two_clocks.py::test_two_clocks_are_kept_together_without_a_new_start",
    ),
}
