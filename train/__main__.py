"""Command line of the training side: `python -m train COMMAND`; each command is one step of the way."""

from __future__ import annotations

import argparse
import importlib
import sys

from rtsep.errors import RtsepError

COMMANDS = {
    "quickstart": "from a folder of stems to a model that plays, a score and a listening page",
    "fetch": "get the listed instrumentals out of their Debian packages",
    "leads": "compose and play instrumentals whose lead is easily taken for a singer",
    "label": "let another separator take songs apart, to learn from",
    "prepare": "decode recordings once into the cache",
    "report": "a page that shows what a net is fed",
    "compact": "the cache as small pieces, for a machine that cannot see this disk",
    "fit": "train a system; the same command again goes on",
    "calibrate": "how sure the masks may be, found on songs the net has not heard",
    "export": "checkpoint to model file, if it passes every check",
    "evaluate": "score a model file on whole tracks, as it plays",
    "listen": "a page to hear what a model does",
    "robustness": "silence, leak, dry voice, speech, levels and rates, against their bars",
    "compare": "the table of systems from their scores",
    "card": "a model's card from its scores, measures and records",
    "runs": "the page of every training run, failures included",
}
"""Each is a module of this package with `add_arguments` and `run`, loaded only when it is asked for."""


def parser_of(command: str) -> argparse.ArgumentParser:
    """Return the parser of one command's options."""
    module = importlib.import_module(f"train.{command}")
    parser = argparse.ArgumentParser(prog=f"python -m train {command}", description=module.__doc__)
    module.add_arguments(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="python -m train",
        description="Make, score and export models.",
        epilog="\n".join(f"  {name:11} {what}" for name, what in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    name = parser.parse_args(arguments[:1]).command
    try:
        importlib.import_module(f"train.{name}").run(parser_of(name).parse_args(arguments[1:]))
    except RtsepError as error:
        print(f"train: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("train: stopped; the same command goes on or begins anew", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
