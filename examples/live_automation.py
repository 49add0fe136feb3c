"""Play live and have the program turn a knob: the threshold swings up and down while it plays.

    python examples/live_automation.py --in mic --out-device "Scarlett"   # what `rtsep devices` lists
    python examples/live_automation.py --record take                      # the demo song, heard by nobody

A session plays in the background: its audio needs nothing of this program, which may be as slow as it likes.
"""

import argparse
import logging
import math
import time

import rtsep

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--in", dest="input", default="demo", help="mic, demo, a device or a file")
parser.add_argument(
    "--out-device", default="virtual", help="where it is heard; virtual: nowhere, in real time"
)
parser.add_argument("--record", help="folder that keeps vocals, instrumental and mix")
parser.add_argument("--seconds", type=float, default=10.0, help="how long it plays")
arguments = parser.parse_args()

# What happens to devices, and the latency, is told to the logger "rtsep".
logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")

session = rtsep.Session(
    arguments.input,
    out="vocals",
    out_device=arguments.out_device,
    record=arguments.record,
    seconds=arguments.seconds,
)
try:
    with session:  # raises at once if it cannot start, and gives everything back at the end
        started = time.monotonic()
        # wait() returns True when the input, or the seconds, are over; until then every 50 ms:
        while not session.wait(timeout=0.05):
            turn = (time.monotonic() - started) / 4.0  # one swing takes 4 s
            session.controls.threshold = 0.3 - 0.3 * math.cos(2 * math.pi * turn)

            stats = session.stats()  # the same that `rtsep live --json` prints
            level = 20 * math.log10(max(1e-5, stats["levels"]["vocals"]["rms"]))
            print(f"threshold {session.controls.threshold:.2f}  vocals {level:6.1f} dB", end="\r", flush=True)
except rtsep.RtsepError as error:  # one line that says what to do about it
    raise SystemExit(f"rtsep: {error}") from None

stats = session.stats()
print(
    f"\n{stats['hops']} hops, {stats['late_masks']} late masks, latency {stats['latency_ms']['total']:.1f} ms"
)
