"""Many files, one after the other or several at a time: each process loads its own model.

A refused file, or the death of its process, does not stop the others.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

from rtsep import unexpected
from rtsep.controls import Controls
from rtsep.errors import (
    InputFileError,
    ModelProcessError,
    NoThreadError,
    RtsepError,
    in_a_line,
    system_reason,
)
from rtsep.files.audiofile import AudioReader
from rtsep.files.names import is_there
from rtsep.model.package import read_package
from rtsep.model.remote import load
from rtsep.model.runner import ModelRunner
from rtsep.offline.file_mode import check_outputs, identity, separate_file
from rtsep.offline.finished import Finished
from rtsep.offline.jobs import Done, How, Job, Waiting
from rtsep.realtime import threads
from rtsep.realtime.waiting import take_from

Progress = Callable[[int, int | None], None]
_REPORT_EVERY = 32  # blocks
TERM_S = 3.0
"""Time in seconds for a process to remove its unfinished files."""


def separate_one(
    job: Job,
    how: How,
    model: Callable[[], ModelRunner],
    progress: Progress,
    reader: AudioReader | None = None,
) -> Done:
    """Separate one file, unless its stems are finished; load the model if needed.

    `reader` is the file if it is already open. Any error concerns only this file.
    """
    try:
        if job.refusal:
            raise InputFileError(job.refusal)
        with contextlib.ExitStack() as stack:
            if reader:
                stack.enter_context(reader)
            elif not is_there(job.source):
                raise InputFileError(f"{job.source}: no such file")
            mine = Finished(job.place, job.source, lambda folder: _is_anothers(folder, how))
            try:
                return _separate(job, how, mine, model, progress, reader)
            except BaseException:
                mine.give_back()
                raise
    except RtsepError as error:
        about = f"{job.source}: " if isinstance(error, ModelProcessError) else ""  # it names the model only
        return Done(job, error=f"{about}{error}", exit_code=error.exit_code)
    except Exception as error:
        logging.getLogger(__name__).debug("%s", job.source, exc_info=True)
        return Done(
            job, error=f"{job.source}: {type(error).__name__}: {error}", exit_code=RtsepError.exit_code
        )


def _separate(
    job: Job,
    how: How,
    mine: Finished,
    model: Callable[[], ModelRunner],
    progress: Progress,
    reader: AudioReader | None,
) -> Done:
    if not how.overwrite and (finished := _finished(mine, how)) is not None:
        stems, damage = finished
        return Done(job, skipped=stems, damage=damage)
    check_outputs(mine.folder, how.inputs, how.stems, how.format)
    result = separate_file(
        reader or AudioReader(job.source, how.track), mine.folder, model(), Controls(**how.controls),
        how.subtype, how.block, progress, how.stems, how.format, lambda: mine.forget(how.files),
    )  # fmt: skip
    for name, path in result.stems.items():
        mine.note({**how.settings(), "stem": name}, {name: path}, result.damage)
    return Done(job, result, damage=result.damage)


def _is_anothers(folder: Path, how: How) -> bool:
    """Return whether a folder without a record holds files that the stems would replace.

    Inputs of this run do not count: `check_outputs` names them.
    """
    places = [folder / name for name in how.files]
    return not how.overwrite and any(
        place.is_file() and identity(place) not in how.inputs for place in places
    )


def _finished(mine: Finished, how: How) -> tuple[dict[str, Path], str] | None:
    """Return the finished stems and the unreadable part of their input; None if one is missing."""
    found: dict[str, Path] = {}
    damage = ""
    for name in how.stems:
        finished = mine.stems({**how.settings(), "stem": name})
        if finished is None:
            return None
        found |= finished.stems
        damage = damage or finished.damage
    return found, damage


class _Loaded:
    """The model, loaded at its first use, and again if its process has died since."""

    def __init__(self, how: How) -> None:
        self._how = how
        self._model: ModelRunner | None = None

    def __call__(self) -> ModelRunner:
        if self._model is None or not self._model.alive:
            self._model = load(read_package(self._how.model, self._how.sha256), self._how.compute)
        return self._model


def separate_here(
    jobs: Iterable[Job],
    how: How,
    progress: Callable[[Job], Progress],
    opened: AudioReader | None = None,
) -> Generator[Done, None, None]:
    """Separate in this process, one after the other; the first one may already be `opened`."""
    model = _Loaded(how)
    for job in jobs:
        yield separate_one(job, how, model, progress(job), opened)
        opened = None


def separate_beside(
    jobs: Iterable[Job], how: How, processes: int, progress: Callable[[Job], Progress]
) -> Generator[Done, None, None]:
    """Separate in `processes` others, which end with this generator; yield in the order of finishing.

    If the machine cannot start all of them, the others continue. If it starts none, each file is refused.
    """
    waiting = Waiting(jobs)
    done: SimpleQueue[Done | Exception | None] = SimpleQueue()
    over = threading.Event()

    def feed(worker: _Worker) -> None:
        try:
            while not over.is_set() and (job := waiting.take()) is not None:
                try:
                    done.put(worker.separate(job, progress(job)))
                except _NotStartedError as error:
                    if waiting.leave_to_others(job):
                        return
                    done.put(Done(job, error=str(error), exit_code=error.exit_code))
        except Exception as error:
            done.put(error)
        finally:
            done.put(None)  # without it, the main thread would wait for ever

    feeding: list[tuple[_Worker, threading.Thread]] = []
    try:
        for _ in range(processes):
            worker = _Worker(how)
            thread = threading.Thread(target=feed, args=(worker,), daemon=True)
            waiting.begin()
            try:
                threads.start(thread)
            except NoThreadError as error:
                waiting.leave()
                if not feeding:
                    raise ModelProcessError(str(error)) from None
                break
            feeding.append((worker, thread))
        left = len(feeding)
        while left:
            one = take_from(done)
            if one is None:
                left -= 1
            elif isinstance(one, Exception):
                raise one
            else:
                yield one
    finally:
        over.set()
        for worker, _ in feeding:
            worker.terminate()
        for worker, thread in feeding:
            worker.join()
            thread.join()


class _NotStartedError(ModelProcessError):
    """The machine cannot start a process."""


class _Worker:
    """Process that separates one file at a time; it starts when needed, and again if it dies."""

    def __init__(self, how: How) -> None:
        self._how = how
        self._process: multiprocessing.process.BaseProcess | None = None  # started
        self._last: multiprocessing.process.BaseProcess | None = None  # to end at the end
        self._pipe: Connection | None = None
        self._starting = threading.Lock()
        self._closed = False

    def separate(self, job: Job, progress: Progress) -> Done:
        """Separate one file in the process. Raise `_NotStartedError` if the machine cannot start it."""
        pipe = self._pipe
        try:
            if pipe is None:
                pipe = self._start()
        except OSError as error:
            raise _NotStartedError(
                f"{job.source}: the process to separate it cannot be started ({system_reason(error)})"
            ) from None
        try:
            pipe.send(job)
            while isinstance(answer := pipe.recv(), tuple):
                progress(*answer)
            assert isinstance(answer, Done)
            return answer
        except (EOFError, OSError):
            code = self._end()
            problem = f"the process that separated it ended with code {code}"
        except Exception as error:  # the process may still send its answer
            self._end()
            problem = in_a_line(error)
        return Done(job, error=f"{job.source}: {problem}", exit_code=ModelProcessError.exit_code)

    def _start(self) -> Connection:
        """Start the process and return its pipe. Raise `OSError` if that fails."""
        with self._starting:
            if self._closed:
                raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            try:
                process = context.Process(target=_serve, args=(theirs, self._how), daemon=True)
                process.start()
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
            self._process, self._pipe = process, ours
            return ours

    def _end(self) -> int | None:
        process, self._process = self._process, None
        pipe, self._pipe = self._pipe, None
        if pipe:
            pipe.close()
        if process is None:
            return None
        process.join(1.0)
        process.kill()
        process.join()
        return process.exitcode

    def terminate(self) -> None:
        """Let the process end, and start none again."""
        with self._starting:
            self._closed = True
            self._last = self._process
        if self._last is not None:
            self._last.terminate()

    def join(self) -> None:
        """Wait until the process has ended after `terminate`."""
        if self._last is not None:
            self._last.join(TERM_S)
            self._last.kill()
            self._last.join()


def _end_once_by_signals() -> None:
    """Let SIGTERM, or the closing of the terminal, end this process in order: it removes unfinished files."""
    ends = [signal.SIGTERM]
    if (
        sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    ):  # else under `nohup`
        ends.append(signal.SIGHUP)

    def end(*_: object) -> None:
        for each in ends:  # the terminal and the parent process both send one
            signal.signal(each, lambda *_: None)  # SIG_IGN is an error for a signal that is already here
        sys.exit(1)

    for each in ends:
        signal.signal(each, end)


def _serve(pipe: Connection, how: How) -> None:
    """Separate the jobs from the pipe until it is closed."""
    unexpected.watch(__name__)  # a SIGTERM while LLVM compiles would be lost
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles Ctrl-C
    _end_once_by_signals()
    model = _Loaded(how)
    calls = 0

    def progress(done: int, total: int | None) -> None:
        nonlocal calls
        calls += 1
        if calls % _REPORT_EVERY == 0:
            pipe.send((done, total))

    with contextlib.suppress(EOFError, OSError):
        while True:
            job = pipe.recv()
            pipe.send(separate_one(job, how, model, progress))
