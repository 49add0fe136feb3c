"""The plain client in compiled Python, where there is no C compiler to build it: `python -m ... NAME`."""

from __future__ import annotations

import json
import sys

import jack

from tests.e2e.player_recorder import CALLS, GAPS, MachineClient


def main() -> None:
    client = jack.Client(sys.argv[1], no_start_server=True)
    plain = MachineClient(client, [client.outports.register("out")])
    xruns = []
    client.set_xrun_callback(xruns.append)
    plain.activate(records=False)
    for _ in sys.stdin:
        counts = {"calls": int(plain.state[CALLS]), "xruns": len(xruns), "skipped": int(plain.state[GAPS])}
        print(json.dumps(counts), flush=True)
    client.close()


if __name__ == "__main__":
    main()
