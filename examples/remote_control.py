"""Play live, controlled by lines of text over UDP, such as "threshold 0.4", "vocals_mute on" and "stats".

    python examples/remote_control.py --port 9000
    echo "vocals_gain -6" | nc -u -w1 localhost 9000      # from another terminal, a phone, a stage desk

Each line gets an answer. Only programs on this machine can send lines; with `--host 0.0.0.0`, everyone in the
network can.
"""

import argparse
import json
import socket

import rtsep

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--in", dest="input", default="demo", help="mic, demo, a device or a file")
parser.add_argument(
    "--out-device", default="virtual", help="output device; virtual: no device, at the same pace"
)
parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
parser.add_argument("--port", type=int, default=0, help="port to listen on; 0: any free port")
parser.add_argument("--seconds", type=float, default=10.0, help="length of the session")
arguments = parser.parse_args()


def execute(line: str, session: rtsep.Session) -> str:
    """Execute one line; return the answer."""
    if line == "stats":
        return json.dumps(session.stats())
    name, _, value = line.partition(" ")
    try:
        # Text as on the command line: "0.4", "-6 dB", "on", "binary". A value out of range is refused.
        session.controls.set_text(name, value, by="remote")
    except rtsep.RtsepError as error:
        return f"error: {error}"
    return f"{name} {getattr(session.controls, name):g}"


def listen(session: rtsep.Session, lines: socket.socket) -> None:
    """Answer lines until the end of the session."""
    while not session.wait(timeout=0):
        try:
            message, sender = lines.recvfrom(1024)
        except TimeoutError:
            continue  # no line; check whether the session still plays
        for line in message.decode(errors="replace").splitlines():
            answer = execute(line.strip(), session)
            print(f"{line.strip()} -> {answer[:100]}", flush=True)
            lines.sendto(f"{answer}\n".encode(), sender)


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lines:
    lines.bind((arguments.host, arguments.port))
    lines.settimeout(0.1)
    session = rtsep.Session(arguments.input, out_device=arguments.out_device, seconds=arguments.seconds)
    with session:
        print(f"listening on {arguments.host}, port {lines.getsockname()[1]}", flush=True)
        listen(session, lines)
