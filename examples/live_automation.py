"""Play live with an automated control: the threshold moves up and down while the session plays.

    python examples/live_automation.py --in mic --out-device "Scarlett"   # names: `rtsep devices`
    python examples/live_automation.py --record take                      # the demo song, without a device

A session plays in the background. The speed of this program does not affect its sound.
"""

import argparse
import logging
import math
import time

import rtsep

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--in", dest="input", default="demo", help="mic, demo, a device or a file")
parser.add_argument(
    "--out-device", default="virtual", help="output device; virtual: no device, at the same pace"
)
parser.add_argument("--record", help="folder for the recorded vocals, instrumental and mix")
parser.add_argument("--seconds", type=float, default=10.0, help="length of the session")
arguments = parser.parse_args()

# The logger "rtsep" gets messages about devices and latency.
logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")

session = rtsep.Session(
    arguments.input,
    out="vocals",
    out_device=arguments.out_device,
    record=arguments.record,
    seconds=arguments.seconds,
)
try:
    with session:  # raises an error if the session cannot start; closes it at the end
        started = time.monotonic()
        # wait() returns True at the end of the input or of the seconds, and False after 50 ms.
        while not session.wait(timeout=0.05):
            turn = (time.monotonic() - started) / 4.0  # one swing takes 4 s
            session.controls.threshold = 0.3 - 0.3 * math.cos(2 * math.pi * turn)

            stats = session.stats()  # the same figures as in `rtsep live --json`
            level = 20 * math.log10(max(1e-5, stats["levels"]["vocals"]["rms"]))
            print(f"threshold {session.controls.threshold:.2f}  vocals {level:6.1f} dB", end="\r", flush=True)
except rtsep.RtsepError as error:  # one line with the remedy
    raise SystemExit(f"rtsep: {error}") from None

stats = session.stats()
print(
    f"\n{stats['hops']} hops, {stats['late_masks']} late masks, latency {stats['latency_ms']['total']:.1f} ms"
)
