"""Command line of the training side: `python -m train COMMAND`; each command is one step of the way."""

from __future__ import annotations

import sys

from train.commandline import run_command

COMMANDS = {
    "quickstart": "from a folder of stems to a model that plays, a score and a listening page",
    "fetch": "get the listed instrumentals out of their Debian packages",
    "leads": "compose and play instrumentals whose lead is easily taken for a singer",
    "label": "let another separator take songs apart, to learn from",
    "prepare": "decode recordings once into the cache",
    "report": "a page that shows what a net is fed",
    "compact": "the cache as small pieces, for a machine that cannot see this disk",
    "fit": "train a system; the same command again goes on",
    "mean": "the mean of the weights of several runs, as a run",
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


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return run_command(
        "train",
        COMMANDS,
        sys.argv[1:] if argv is None else argv,
        description="Make, score and export models.",
        when_stopped="stopped; the same command goes on or begins anew",
    )


if __name__ == "__main__":
    sys.exit(main())
