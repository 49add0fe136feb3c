"""Command line of the training side: `python -m train COMMAND`; each command is one step of the way."""

from __future__ import annotations

import sys

from train.commandline import Command, run_command

COMMANDS = {
    "quickstart": Command(
        "train.quickstart", "from a folder of stems to a model that plays, a score and a listening page"
    ),
    "fetch": Command("train.data.fetch", "get the listed instrumentals out of their Debian packages"),
    "leads": Command(
        "train.data.synthetic_leads", "compose and play instrumentals whose lead is easily taken for a singer"
    ),
    "label": Command("train.learn.pseudo_labels", "let another separator take songs apart, to learn from"),
    "prepare": Command("train.data.prepare", "decode recordings once into the cache"),
    "report": Command("train.pages.report", "a page that shows what a net is fed"),
    "compact": Command(
        "train.data.shards", "the cache as small pieces, for a machine that cannot see this disk"
    ),
    "fit": Command("train.learn.fit", "train a system; the same command again goes on"),
    "mean": Command("train.learn.mean", "the mean of the weights of several runs, as a run"),
    "calibrate": Command(
        "train.learn.calibrate", "how sure the masks may be, found on songs the net has not heard"
    ),
    "export": Command("train.learn.export", "checkpoint to model file, if it passes every check"),
    "evaluate": Command("train.score.evaluate", "score a model file on whole tracks, as it plays"),
    "worst": Command("train.score.worst", "the seconds where a model does worst, in words, for its card"),
    "listen": Command("train.pages.listen", "a page to hear what a model does"),
    "blind": Command("train.pages.blind", "a page to compare models by ear, without their names"),
    "robustness": Command(
        "train.score.robustness", "silence, leak, dry voice, speech, levels and rates, against their bars"
    ),
    "compare": Command("train.pages.compare", "the table of systems from their scores"),
    "card": Command("train.pages.card", "a model's card from its scores, measures and records"),
    "runs": Command("train.pages.runs", "the page of every training run, failures included"),
}
"""All commands, in the order of use."""


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
