"""`rtsep file`: stems of audio files, identical to the output of live."""

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

from rtsep import folders
from rtsep.cli.ending import interrupted_by_all
from rtsep.cli.main import argument_type
from rtsep.cli.options import add_controls, audio_track, block_size, read_controls, whole_number
from rtsep.compute import add_compute
from rtsep.controls import BY_NAME
from rtsep.errors import InputFileError, ModelError, UsageError
from rtsep.files.audiofile import SUBTYPES, AudioReader, make_folder
from rtsep.files.demo import demo_song
from rtsep.files.encode import FORMATS, WAV, check_format
from rtsep.files.folders import audio_files, listed_files
from rtsep.files.names import STDIN, folder_name, handles_of, input_path, one_line, printable, settled
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import read_package
from rtsep.offline.batch import Progress as FileProgress
from rtsep.offline.batch import separate_beside, separate_here
from rtsep.offline.file_mode import DEFAULT_BLOCK, STEMS, FileResult, identity
from rtsep.offline.jobs import Done, How, Job
from rtsep.terminal import plain_console

MAX_PROCESSES = 256


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "inputs",
        nargs="*",
        type=argument_type(_input_path),
        metavar="INPUT",
        help="wav, flac, ogg, opus, mp3; any format with ffmpeg; a folder of audio files; '-' is standard "
        "input; 'demo' is the song that comes with rtsep",
    )
    parser.add_argument("-r", "--recursive", action="store_true", help="include the folders below a folder")
    parser.add_argument(
        "--from",
        dest="lists",
        action="append",
        type=Path,
        default=[],
        metavar="FILE|-",
        help="read a list of inputs, one per line or separated by NUL; '-' is standard input; may be "
        "repeated",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("out"),
        metavar="DIR",
        help="write the stems to DIR/<song>/ (out)",
    )
    parser.add_argument("--stem", choices=STEMS, help="write only this stem (both)")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=WAV,
        help="format of the stems (wav); flac, mp3 and opus keep the tags",
    )
    parser.add_argument("--overwrite", action="store_true", help="separate finished files again")
    parser.add_argument(
        "-j",
        "--jobs",
        type=_processes,
        default=1,
        metavar="N",
        help="files to separate at the same time, each in a process with its own model; 0: one per "
        "processor (1)",
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="NAME|PATH", help=f"model ({DEFAULT_MODEL})"
    )
    add_compute(parser, "processor that runs the model")
    parser.add_argument(
        "--subtype", choices=SUBTYPES, default="PCM_24", help="sample format of the stems (PCM_24)"
    )
    parser.add_argument(
        "--track",
        type=audio_track,
        metavar="N",
        help="audio track to read if the file has several, from 1 (the default track)",
    )
    parser.add_argument(
        "--block",
        type=block_size,
        default=DEFAULT_BLOCK,
        metavar="FRAMES",
        help="frames to read at a time; the result does not change",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON line per file instead of a progress bar"
    )
    add_controls(parser, without=("balance",))  # file has no stereo output


def run(arguments: argparse.Namespace) -> int:
    """Separate every input; report a bad one and continue with the others."""
    controls = read_controls(arguments)
    check_format(arguments.format, arguments.subtype)
    jobs = list(_jobs(arguments))
    opened = None
    if len(jobs) == 1:  # report problems of a single file before a model is loaded
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
    with interrupted_by_all(), _Report(jobs, arguments.json, package.spec.name) as report:
        processes = min(arguments.jobs or _processors(), len(jobs))
        if processes > 1 and not any(_is_ours(job.source) for job in jobs):
            running = separate_beside(jobs, how, processes, report.progress)
        else:
            running = separate_here(jobs, how, report.progress, opened)
        with contextlib.closing(running):
            for done in running:
                if done.exit_code == ModelError.exit_code:  # a bad model fails for all files
                    raise ModelError(done.error)
                report.note(done)
    return report.exit_code


def _jobs(arguments: argparse.Namespace) -> Iterator[Job]:
    """Yield each input once, with the preferred folder for its stems; that folder may be refused."""
    listed = [path for each in arguments.lists for path in listed_files(each)]
    if not arguments.inputs and not arguments.lists:
        raise UsageError(
            "file: an INPUT is missing; give an audio file or a folder, or a list of them with --from"
        )
    if not arguments.inputs and not listed:
        raise UsageError(
            f"--from {arguments.lists[0]}: this list is empty; give a file with one input per line"
        )
    seen: set[Path] = set()
    barred: list[tuple[Path, str]]
    for path in [*arguments.inputs, *listed]:
        sources, barred = [path], []
        if folders.is_reachable_folder(path):
            try:
                sources = audio_files(path, arguments.recursive, arguments.output, barred)
            except InputFileError as error:
                yield Job(path, arguments.output, str(error))
                continue
            yield from (Job(folder, arguments.output, refusal) for folder, refusal in barred)
        for source in sources:
            if (known := settled(source)) not in seen:
                seen.add(known)
                below = source.parent.relative_to(path) if source != path else Path()
                yield Job(source, arguments.output / below / folder_name(source))


def _input_path(text: str) -> Path:
    path = input_path(text)
    return demo_song() if text == "demo" and not folders.is_reachable(path) else path


def _is_ours(path: Path) -> bool:
    """Return whether a path refers to an open file of this process, which other processes lack."""
    return path == STDIN or bool(handles_of(path))


def _processes(text: str) -> int:
    return whole_number(text, "a number of processes", 0, MAX_PROCESSES)


def _processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Report:
    """Output and exit code while files are separated; a context manager.

    The remaining time is estimated from the file sizes. Files finished before count as no work.
    """

    def __init__(self, jobs: list[Job], as_json: bool, model: str) -> None:
        self._json, self._model = as_json, model
        self._bytes = {job: _size(job.source) for job in jobs}
        self._all_bytes, self._done_bytes = float(sum(self._bytes.values())), 0.0
        self._shares: dict[Job, float] = {}  # share done of each file in progress
        self._count, self._separated, self._skipped, self._refused, self._damaged = 0, 0, 0, 0, 0
        self._began = time.monotonic()
        self._codes: list[int] = []
        self._name = ""  # the most recently started file
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
        """Return 0 if all went well, the errors' common code if they agree, else 1."""
        kinds = set(self._codes)
        return kinds.pop() if len(kinds) == 1 else int(bool(kinds))

    def progress(self, job: Job) -> FileProgress:
        """Return the progress callback for one file; it may run on any thread."""
        self._name = _shown(job.source)
        self._describe()

        def advance(done: int, total: int | None) -> None:
            if total:
                self._shares[job] = self._bytes[job] * min(done / total, 1.0)
                self._move()

        return advance

    def note(self, done: Done) -> None:
        """Print the result of one file."""
        size = self._bytes[done.job]
        self._shares.pop(done.job, None)
        self._count += 1
        if done.skipped is not None:
            self._all_bytes -= size
        else:
            self._done_bytes += size
        self._move()
        self._bar.stop()  # the line temporarily replaces the bar
        self._report(done)
        self._bar.start()
        self._describe()

    def _report(self, done: Done) -> None:
        if done.error:
            self._codes.append(done.exit_code)
            self._refused += 1
            _notify(done.error)
        elif done.skipped is not None:
            self._skipped += 1
            self._print_skipped(done)
        elif done.result:
            self._separated += 1
            self._print(done.result)
        if done.damage:
            self._codes.append(InputFileError.exit_code)
            self._damaged += 1
            _notify(f"{done.damage}; the stems hold the readable part")

    def _describe(self) -> None:
        place = f"{min(self._count + 1, self._total)} of {self._total} " if self._total > 1 else ""
        self._bar.update(self._task, description=f"{place}{self._name}")

    def _move(self) -> None:
        done = self._done_bytes + sum(list(self._shares.values()))
        self._bar.update(self._task, completed=done, total=max(self._all_bytes, 1.0))

    def _prefix(self) -> str:
        """Return `3 of 20, 0:04:10 left: ` if there are several files, else ""."""
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
            print(
                f"{self._prefix()}{name}: finished before ({places}); --overwrite separates it again",
                flush=True,
            )

    def _print(self, result: FileResult) -> None:
        for note in result.notes:
            _notify(f"{result.input}: {note}")
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
            speed = f"{1 / result.realtime_factor:.1f} times the speed of playback"
            print(f"{self._prefix()}{one_line(result.input.name)}: {places} ({speed})", flush=True)
        if result.clipped_samples:
            subtype = "--format wav --subtype FLOAT" if _is_flac(result) else "--subtype FLOAT"
            _notify(
                f"{result.input}: {result.clipped_samples} samples of the stems were beyond full scale and "
                f"clipped; {subtype} avoids clipping"
            )


def _is_flac(result: FileResult) -> bool:
    return any(path.suffix == ".flac" for path in result.stems.values())


def _notify(line: str) -> None:
    print(f"rtsep: {one_line(line)}", file=sys.stderr, flush=True)


def _shown(path: Path) -> str:
    """Return a file name for a terminal: one line of UTF-8."""
    return one_line(printable(path.name))


def _texts(stems: Mapping[str, Path]) -> dict[str, str]:
    return {name: str(path) for name, path in stems.items()}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
