"""A private JACK server for machines without a sound card: the dummy driver, with its own name."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

NAME = "rtsep-bench"
RATE, PERIOD = 44100, 256
PATIENCE_S = 20.0


@contextlib.contextmanager
def private_server() -> Iterator[Mapping[str, str]]:
    """Run a server inside the `with` block; yield the environment in which programs find only this one.

    Without jackd (or if it does not start) this is the present environment, and a line reports that.
    """
    if not (sys.platform == "linux" and shutil.which("jackd")):
        print(
            "benchmarks: jackd is not installed; live benchmarks use the default sound system",
            file=sys.stderr,
        )
        yield os.environ
        return
    environment = {**os.environ, "JACK_DEFAULT_SERVER": NAME, "JACK_NO_AUDIO_RESERVATION": "1"}
    # -S: the server waits for late clients, so that recordings are exact.
    command = ["jackd", "-n", NAME, "-R", "-S", "-d", "dummy", "-r", str(RATE), "-p", str(PERIOD), "-P", "4"]
    server = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if _answers(server):
            yield environment
        else:
            print(
                f"benchmarks: jackd does not start ({' '.join(command)}); continued without a JACK server",
                file=sys.stderr,
            )
            yield os.environ
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(server: subprocess.Popen[bytes]) -> bool:
    import jack  # needs libjack

    jack.set_error_function(lambda _: None)
    jack.set_info_function(lambda _: None)
    until = time.monotonic() + PATIENCE_S
    while server.poll() is None and time.monotonic() < until:
        with contextlib.suppress(jack.JackError):
            jack.Client("rtsep-bench-probe", no_start_server=True, servername=NAME).close()
            return True
        time.sleep(0.1)
    return False
