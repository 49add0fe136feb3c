"""A session whose JACK server goes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tests.cli.program import ROOT
from tests.e2e.conftest import start_server  # noqa: F401 (a fixture)

ON_JACK = """
import logging, sys
import rtsep
from rtsep.audio import jack_ports

logging.basicConfig(level=logging.INFO, format="log: %(message)s", stream=sys.stdout)
model = sys.argv[1]
with rtsep.Session("mic", model=model, client_name="other") as second:
    try:
        with rtsep.Session("mic", out="both", model=model, reconnect=False) as first:
            print("rates", first.rate, second.rate, flush=True)
            print("kill", flush=True)
            first.wait(60)
    except rtsep.RtsepError as error:
        print("raised:", error, flush=True)
    print("second is over:", second.wait(3), flush=True)
print("done", flush=True)
"""


@pytest.mark.jack
def test_a_server_that_goes_is_told_and_raised(half, start_server):  # noqa: F811
    server = start_server(rate=48000, period=256)
    run = subprocess.Popen(
        [sys.executable, "-c", ON_JACK, str(half)],
        env=server.environment, cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert run.stdout
        said = []
        for line in run.stdout:
            said.append(line.strip())
            if said[-1] == "kill":
                looker = server.client("looker")
                ports = {port.name for port in looker.get_ports()}
                looker.close()
                server.stop(signal.SIGKILL)
        assert run.wait(30) == 0, said
    finally:
        if run.poll() is None:
            run.kill()
            run.wait()
    names = ("in_0", "in_1", "vocals_L", "vocals_R", "instrumental_L", "instrumental_R")
    assert {*(f"rtsep:{name}" for name in names), "other:in_0", "other:vocals_L"} <= ports
    assert "rates 48000 48000" in said
    assert sum(line.startswith("log: JACK server -> JACK server, model") for line in said) == 2
    raised = [line for line in said if line.startswith("raised: ")]
    assert len(raised) == 1
    assert "JACK server" in raised[0]
    assert raised[0].endswith("the session ends (--no-reconnect)")
    assert any("waiting for it to come back" in line for line in said)
    assert said[-2:] == ["second is over: False", "done"]


FORKS = """
import json, os, sys, time
import rtsep
from rtsep.audio import devices

def say(found):
    print(json.dumps(found), flush=True)

say([[device.name, device.inputs, device.outputs] for device in devices.look().devices if device.is_jack])
with rtsep.Session("pad [/x]", model=sys.argv[1]) as session:
    if (child := os.fork()) == 0:
        sys.exit(0)
    status = os.waitpid(child, 0)[1]
    hops, over = session.stats()["hops"], time.monotonic() + 60
    while session.stats()["hops"] < hops + 200 and time.monotonic() < over:
        time.sleep(0.02)
    say([status, session.state, session.stats()["hops"] - hops])
    sys.stdin.readline()
"""


@pytest.mark.jack
def test_a_program_on_the_server_is_an_input_and_a_fork_leaves_our_client_alone(half, start_server):  # noqa: F811
    server = start_server()
    pad = server.client("pad [/x]")
    for name in ("out [usb]", "right"):
        pad.outports.register(name)
    pad.set_process_callback(lambda _: None)  # a client without one is no part of the graph
    pad.activate()
    run = subprocess.Popen(
        [sys.executable, "-c", FORKS, str(half)],
        env=server.environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert run.stdout
        there, (status, state, hops) = (json.loads(run.stdout.readline()) for _ in range(2))
        cables = [[port.name for port in pad.get_all_connections(own)] for own in pad.outports]
        run.communicate("\n", timeout=60)
    finally:
        run.kill()
        run.wait()
        pad.close()
    assert there == [["JACK server", 2, 4], ["pad [/x]", 2, 0]]
    assert (status, state) == (0, "playing") and hops >= 200
    assert cables == [["rtsep:in_0"], ["rtsep:in_1"]]
    assert run.returncode == 0
