"""The commands of the pages that need a JACK server: `--no-connect`, a virtual MIDI port, a knob to learn."""

from __future__ import annotations

import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.docs.commands import ALL, Command
from tests.docs.test_commands import needs_jack
from tests.waiting import until

pytestmark = [
    pytest.mark.jack,
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg"),
]

PATIENCE_S = 240.0  # a first run compiles
CC = 0xB0
COMMANDS = {command.text: command for command in ALL if command.is_run and needs_jack(command)}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.text)
def test_a_command_of_the_pages_on_a_jack_server(
    command, start_server, open_player_recorder, plug_in, tmp_path
):
    from tests.docs.page_user import PageUser

    server = start_server()
    page_user = PageUser(tmp_path, server.environment)
    if "midi learn" in command.text:
        learn(
            command,
            page_user,
            SimpleNamespace(server=server, player_recorder=open_player_recorder(server)),
            plug_in,
        )
    else:
        page_user.run(command)


def learn(command: Command, page_user, rig, plug_in) -> None:
    """Turn a knob until the command has learned it and ended."""
    pad = plug_in(rig)
    with subprocess.Popen(
        [sys.executable, "-m", *command.words], cwd=page_user.folder, env=page_user.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        values = iter(range(10_000))

        def over() -> bool:
            pad.send((CC, 21, next(values) * 3 % 128))
            return process.poll() is not None

        try:
            until(over, command.text, PATIENCE_S, 0.05)
            said = process.communicate()[0]
        finally:
            process.kill()
    assert process.returncode == 0, said
    written = (page_user.folder.parent / "home" / ".config" / "rtsep" / "midi.toml").read_text()
    assert "[threshold]" in written and "cc = 21" in written
