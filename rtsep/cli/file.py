"""`rtsep file`: stems of audio files, exactly as live would play them."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from rtsep.cli.options import add_controls, audio_track, block_size, read_controls, whole_number
from rtsep.compute import add_compute
from rtsep.controls import BY_NAME
from rtsep.errors import InputFileError, ModelError, UsageError
from rtsep.files.audiofile import SUBTYPES, AudioReader, make_folder
from rtsep.files.demo import demo_song
from rtsep.files.encode import FORMATS, WAV, check_format
from rtsep.files.folders import audio_files, listed_files
from rtsep.files.names import STDIN, folder_name, input_path, is_folder, one_line, printable
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import read_package
from rtsep.offline.batch import Done, How, Job, separate_beside, separate_here
from rtsep.offline.batch import Progress as FileProgress
from rtsep.offline.file_mode import DEFAULT_BLOCK, STEMS, FileResult, identity
from rtsep.terminal import plain_console

MOST_PROCESSES = 256


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "inputs",
        nargs="*",
        type=_input_path,
        metavar="INPUT",
        help="wav, flac, ogg, opus, mp3; with ffmpeg, any; a folder of them; '-' is standard input; "
        "'demo' is the song that comes with rtsep",
    )
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="look into the folders below a folder, too"
    )
    parser.add_argument(
        "--from",
        dest="lists",
        action="append",
        type=Path,
        default=[],
        metavar="FILE|-",
        help="a list of inputs, one a line or between NULs; '-' is standard input; may be given again",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("out"), metavar="DIR", help="stems go to DIR/<song>/ (out)"
    )
    parser.add_argument("--stem", choices=STEMS, help="only this one (both)")
    parser.add_argument(
        "--format", choices=FORMATS, default=WAV, help="format of the stems (wav); the others keep the tags"
    )
    parser.add_argument("--overwrite", action="store_true", help="separate again what is finished")
    parser.add_argument(
        "-j",
        "--jobs",
        type=_processes,
        default=1,
        metavar="N",
        help="files at a time, each in a process with a model of its own; 0: one a processor (1)",
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="NAME|PATH", help=f"model ({DEFAULT_MODEL})"
    )
    add_compute(parser, "where the model runs")
    parser.add_argument(
        "--subtype", choices=SUBTYPES, default="PCM_24", help="sample format of the stems (PCM_24)"
    )
    parser.add_argument(
        "--track",
        type=audio_track,
        metavar="N",
        help="of a file with several audio tracks, from 1 (the default one)",
    )
    parser.add_argument(
        "--block",
        type=block_size,
        default=DEFAULT_BLOCK,
        metavar="FRAMES",
        help="frames read at a time; changes no result",
    )
    parser.add_argument("--json", action="store_true", help="one JSON line a file instead of a progress bar")
    add_controls(parser, without=("balance",))  # it has no stereo output


def run(arguments: argparse.Namespace) -> int:
    """Separate every input; a bad one is named and the others are done all the same."""
    controls = read_controls(arguments)
    check_format(arguments.format, arguments.subtype)
    jobs = list(_jobs(arguments))
    opened = None
    if len(jobs) == 1:  # what is wrong with it is said before a model is loaded
        if jobs[0].refusal:
            raise InputFileError(jobs[0].refusal)
        opened = AudioReader(jobs[0].source, arguments.track)
    package = read_package(find_model(arguments.model))
    make_folder(arguments.output)
    how = How(
        model=package.path,
        sha256=package.sha256,
        compute=arguments.compute,
        controls={name: getattr(controls, name) for name in BY_NAME},
        stems=(arguments.stem,) if arguments.stem else STEMS,
        format=arguments.format,
        subtype=arguments.subtype,
        block=arguments.block,
        overwrite=arguments.overwrite,
        track=arguments.track,
        inputs=frozenset(known for job in jobs if (known := identity(job.source))),
    )
    with _Report(jobs, arguments.json, package.spec.name) as report:
        processes = min(arguments.jobs or _processors(), len(jobs))
        if processes > 1 and not any(_is_ours(job.source) for job in jobs):
            running = separate_beside(jobs, how, processes, report.progress)
        else:
            running = separate_here(jobs, how, report.progress, opened)
        with contextlib.closing(running):
            for done in running:
                if done.exit_code == ModelError.exit_code:  # it fails all of them
                    raise ModelError(done.error)
                report.note(done)
    return report.exit_code


def _jobs(arguments: argparse.Namespace) -> Iterator[Job]:
    """Yield every input once, with the folder that its stems would like; a folder may be refused."""
    listed = [path for each in arguments.lists for path in listed_files(each)]
    if not arguments.inputs and not arguments.lists:
        raise UsageError("file: name an INPUT (an audio file or a folder), or a list of them with --from")
    if not arguments.inputs and not listed:
        raise UsageError(f"--from {arguments.lists[0]}: this list is empty")
    seen: set[Path] = set()
    for path in [*arguments.inputs, *listed]:
        sources = [path]
        if is_folder(path):
            try:
                sources = audio_files(path, arguments.recursive, arguments.output)
            except InputFileError as error:
                yield Job(path, arguments.output, str(error))
                continue
        for source in sources:
            if source.absolute() not in seen:
                seen.add(source.absolute())
                below = source.parent.relative_to(path) if source != path else Path()
                yield Job(source, arguments.output / below / folder_name(source))


def _input_path(text: str) -> Path:
    path = input_path(text)
    return demo_song() if text == "demo" and not path.exists() else path


def _is_ours(path: Path) -> bool:
    """Whether a path names an open file of this process, which no other process has."""
    return path == STDIN or path.parts[:3] in (("/", "dev", "fd"), ("/", "proc", "self"))


def _processes(text: str) -> int:
    return whole_number(text, "a number of processes", 0, MOST_PROCESSES)


def _processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Report:
    """What is printed while files are separated, and the exit code; a context manager.

    Time is foretold by the sizes of the files. What was finished before counts for nothing there.
    """

    def __init__(self, jobs: list[Job], as_json: bool, model: str) -> None:
        self._json, self._model = as_json, model
        self._bytes = {job: _size(job.source) for job in jobs}
        self._all_bytes, self._done_bytes = float(sum(self._bytes.values())), 0.0
        self._shares: dict[Job, float] = {}  # of the files that are being separated
        self._count, self._separated, self._skipped, self._refused, self._damaged = 0, 0, 0, 0, 0
        self._began = time.monotonic()
        self._codes: list[int] = []
        self._name = ""  # of the file that was begun last
        self._total = len(jobs)
        self._console = plain_console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
            TimeRemainingColumn(), console=self._console,
            disable=as_json or not self._console.is_terminal, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=self._all_bytes)

    def __enter__(self) -> _Report:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.stop()
        if kind is None and self._total > 1 and not self._json:
            counts = [(self._separated, "separated"), (self._skipped, "finished before")]
            counts += [(self._refused, "refused"), (self._damaged, "damaged")]
            print(", ".join(f"{count} {word}" for count, word in counts if count))

    @property
    def exit_code(self) -> int:
        """0 where all went well, the code of the errors where they are of one kind, else 1."""
        kinds = set(self._codes)
        return kinds.pop() if len(kinds) == 1 else int(bool(kinds))

    def progress(self, job: Job) -> FileProgress:
        """Return what is told of the progress of one file, on any thread."""
        self._name = _shown(job.source)
        self._describe()

        def advance(done: int, total: int | None) -> None:
            if total:
                self._shares[job] = self._bytes[job] * min(done / total, 1.0)
                self._move()

        return advance

    def note(self, done: Done) -> None:
        """Print how a file has ended."""
        size = self._bytes[done.job]
        self._shares.pop(done.job, None)
        self._count += 1
        if done.skipped is not None:
            self._all_bytes -= size
        else:
            self._done_bytes += size
        self._move()
        self._bar.stop()  # a line takes its place for a moment
        self._tell(done)
        self._bar.start()
        self._describe()

    def _tell(self, done: Done) -> None:
        if done.error:
            self._codes.append(done.exit_code)
            self._refused += 1
            _say(done.error)
        elif done.skipped is not None:
            self._skipped += 1
            self._print_skipped(done)
        elif done.result:
            self._separated += 1
            self._print(done.result)
        if done.damage:
            self._codes.append(InputFileError.exit_code)
            self._damaged += 1
            _say(f"{done.damage}; the stems hold what can be read")

    def _describe(self) -> None:
        place = f"{min(self._count + 1, self._total)} of {self._total} " if self._total > 1 else ""
        self._bar.update(self._task, description=f"{place}{self._name}")

    def _move(self) -> None:
        done = self._done_bytes + sum(list(self._shares.values()))
        self._bar.update(self._task, completed=done, total=max(self._all_bytes, 1.0))

    def _prefix(self) -> str:
        """Return `3 of 20, 0:04:10 left: ` where there are several files."""
        if self._total == 1:
            return ""
        left = self._all_bytes - self._done_bytes
        seconds = (time.monotonic() - self._began) * left / self._done_bytes if self._done_bytes else 0.0
        rest = f", {timedelta(seconds=round(seconds))} left" if self._done_bytes and left else ""
        return f"{self._count} of {self._total}{rest}: "

    def _print_skipped(self, done: Done) -> None:
        stems = done.skipped or {}
        if self._json:
            line = {"input": str(done.job.source), "stems": _texts(stems), "skipped": True}
            line |= {"damage": done.damage} if done.damage else {}
            print(json.dumps(line), flush=True)
        else:
            places = one_line(" and ".join(_texts(stems).values()))
            name = one_line(done.job.source.name)
            print(f"{self._prefix()}{name}: finished before ({places}; --overwrite: again)", flush=True)

    def _print(self, result: FileResult) -> None:
        for note in result.notes:
            _say(f"{result.input}: {note}")
        if self._json:
            line = {
                "input": str(result.input),
                "stems": _texts(result.stems),
                "model": self._model,
                "rate": result.rate,
                "channels": result.channels,
                "seconds": round(result.seconds, 6),
                "wall_seconds": round(result.wall_seconds, 3),
                "realtime_factor": round(result.realtime_factor, 4),
                "latency_samples": result.latency_samples,
                "clipped_samples": result.clipped_samples,
            }
            line |= {"damage": result.damage} if result.damage else {}
            print(json.dumps(line), flush=True)
        else:
            places = one_line(" and ".join(_texts(result.stems).values()))
            speed = f"{1 / result.realtime_factor:.1f} times as fast as it plays"
            print(f"{self._prefix()}{one_line(result.input.name)}: {places} ({speed})", flush=True)
        if result.clipped_samples:
            print(
                f"rtsep: {result.clipped_samples} samples of the stems were beyond full scale and clipped; "
                "--subtype FLOAT keeps them",
                file=sys.stderr,
            )


def _say(line: str) -> None:
    print(f"rtsep: {one_line(line)}", file=sys.stderr, flush=True)


def _shown(path: Path) -> str:
    """Return the name of a file for a terminal, in one line of UTF-8."""
    return one_line(printable(path.name))


def _texts(stems: Mapping[str, Path]) -> dict[str, str]:
    return {name: str(path) for name, path in stems.items()}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
