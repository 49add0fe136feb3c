"""The command line of the trainer: `python -m train COMMAND`."""

from __future__ import annotations

import sys

from train.commandline import Command, run_command
from train.memory import keep_freed_memory

COMMANDS = {
    "quickstart": Command("train.quickstart", "train a model from a folder of stems, score it, make a page"),
    "fetch": Command("train.data.fetch", "extract the listed instrumentals from their Debian packages"),
    "leads": Command(
        "train.data.synthetic_leads", "synthesise instrumentals with a lead that resembles a voice"
    ),
    "label": Command("train.learn.pseudo_labels", "separate songs with another model to get pseudo-labels"),
    "prepare": Command("train.data.prepare", "decode recordings into the cache"),
    "report": Command("train.pages.report", "write a page about the cache and the training mixtures"),
    "compact": Command("train.data.shards", "pack the cache into shards for another machine"),
    "fit": Command("train.learn.fit", "train a system; the same command continues the run"),
    "mean": Command("train.learn.mean", "average the weights of several runs"),
    "calibrate": Command("train.learn.calibrate", "calibrate the masks on validation songs"),
    "export": Command("train.learn.export", "turn a checkpoint into a model file, if all checks pass"),
    "evaluate": Command("train.score.evaluate", "score a model file on whole tracks"),
    "worst": Command("train.score.worst", "list the worst seconds of a model, for its card"),
    "listen": Command("train.pages.listen", "write a listening page for a model"),
    "blind": Command("train.pages.blind", "write a page to compare models by ear, without names"),
    "robustness": Command(
        "train.score.robustness", "measure silence, leak, dry voice, speech, level, rate and bands"
    ),
    "compare": Command("train.pages.compare", "write the table of all systems from their scores"),
    "card": Command("train.pages.card", "write the card of a model from its scores and records"),
    "runs": Command("train.pages.runs", "write the page of all training runs"),
}
"""All commands, in the order of use."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    keep_freed_memory()
    return run_command(
        "train",
        COMMANDS,
        sys.argv[1:] if argv is None else argv,
        description="Prepare data, train, score and export models.",
        when_stopped="stopped; the same command continues, or starts again",
    )


if __name__ == "__main__":
    sys.exit(main())
