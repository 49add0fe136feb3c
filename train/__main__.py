"""Command line of the training side: `python -m train COMMAND`; each command is one step of the way."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from rtsep.errors import RtsepError
from train.cache import default_cache


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train", description="Train, score and export models.")
    commands = parser.add_subparsers(dest="command", required=True)
    cache = argparse.ArgumentParser(add_help=False)
    cache.add_argument("--cache", type=Path, default=default_cache(), metavar="DIR",
                       help="decoded audio (default: %(default)s)")  # fmt: skip

    p = commands.add_parser("prepare", parents=[cache], help="decode the data once into the cache")
    p.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR", help="with tracks.tsv")
    p.add_argument("--music", type=Path, metavar="DIR", help="of unpacked Debian packages of music")
    p.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="at a time (%(default)s)")

    p = commands.add_parser("fit", parents=[cache], help="train; the same command again goes on")
    p.add_argument("--system", default="causal", metavar="PRESET", help="what to train (%(default)s)")
    p.add_argument("--run", type=Path, required=True, metavar="DIR", help="checkpoint and history")
    p.add_argument("--minutes", type=float, default=60.0, help="length of the schedule (%(default)s)")
    p.add_argument("--steps", type=int, help="length in optimiser steps instead")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda (%(default)s)")
    p.add_argument("--threads", type=int, default=1, help="of torch, each process (%(default)s)")
    p.add_argument("--workers", type=int, default=0, help="processes that draw mixtures (%(default)s)")
    p.add_argument("--batch", type=int, help="mixtures a step, each process (the system's own)")
    p.add_argument("--rate", type=float, help="learning rate at its peak (the system's own)")
    p.add_argument("--init", type=Path, metavar="RUN", help="start a new run from the weights of another")
    p.add_argument("--seed", type=int, default=1)

    p = commands.add_parser("evaluate", help="score a model file on whole test clips")
    p.add_argument("--model", type=Path, required=True, metavar="FILE")
    p.add_argument("--data", type=Path, default=Path("../shared/data/musdb18-7/test"), metavar="DIR",
                   help="folder of .stem.mp4 files, or of folders of stems (%(default)s)")  # fmt: skip
    p.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    p.add_argument("--workers", type=int, default=1, help="clips scored at a time (%(default)s)")

    p = commands.add_parser("export", help="checkpoint to model file, if it passes every check")
    p.add_argument("--run", type=Path, required=True, metavar="DIR", help="a run, or a checkpoint file")
    p.add_argument("--out", type=Path, required=True, metavar="FILE")
    p.add_argument("--name", help="name of the model (that of its system)")
    p.add_argument("--metrics", type=Path, metavar="FILE", help="JSON of 'evaluate', to go into the spec")
    return parser


def _fit(options: argparse.Namespace) -> None:
    from train.fit import FitConfig, fit
    from train.presets import preset

    system = preset(options.system)
    changes = {name: value for name in ("batch", "rate") if (value := getattr(options, name)) is not None}
    system = dataclasses.replace(system, training=dataclasses.replace(system.training, **changes))
    names = ("cache", "run", "minutes", "steps", "device", "threads", "workers", "seed", "init")
    fit(FitConfig(system=system, **{name: getattr(options, name) for name in names}))


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        # Imported late: each command loads only what it needs.
        if options.command == "prepare":
            from train.prepare import prepare

            prepare(options.data, options.cache, options.music, options.workers)
        elif options.command == "fit":
            _fit(options)
        elif options.command == "evaluate":
            from train.evaluate import evaluate

            evaluate(options.model, options.data, options.json, options.workers)
        else:
            from train.export import export

            export(options.run, options.out, options.name, options.metrics)
    except RtsepError as error:
        print(f"train: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
