"""The jobs of one run of `rtsep file`: inputs, common settings, results, and a queue for several threads."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rtsep.files.encode import WAV
from rtsep.offline.file_mode import DEFAULT_BLOCK, STEMS, FileResult


class Job(NamedTuple):
    """Input, with the preferred folder for its stems."""

    source: Path
    place: Path
    refusal: str = ""  # reason why it cannot be separated, if already known


@dataclass(frozen=True)
class How:
    """Common settings of all files of a run."""

    model: Path
    sha256: str  # of the model
    compute: str = "cpu"
    controls: Mapping[str, float] = field(default_factory=dict)
    stems: tuple[str, ...] = STEMS
    format: str = WAV
    subtype: str = "PCM_24"
    block: int = DEFAULT_BLOCK
    overwrite: bool = False
    track: int | None = None  # audio track of each file, from 1; None: the default track
    # files that must not be replaced, by `file_mode.identity`
    inputs: frozenset[tuple[int, int]] = frozenset()

    @property
    def files(self) -> frozenset[str]:
        """Return the names of the stems' files."""
        return frozenset(f"{stem}.{self.format}" for stem in self.stems)

    def settings(self) -> dict[str, Any]:
        """Return the settings that the stems depend on, in JSON types."""
        settings = {
            "model": self.sha256,
            "controls": dict(self.controls),
            "format": self.format,
            "subtype": self.subtype,
        }
        return settings if self.track is None else {**settings, "track": self.track}


@dataclass(frozen=True)
class Done:
    """Result of one job: separated, finished before, or refused."""

    job: Job
    result: FileResult | None = None
    skipped: Mapping[str, Path] | None = None
    error: str = ""
    exit_code: int = 0
    damage: str = ""  # unreadable part of the input; the stems have the rest


class Waiting:
    """The jobs that nobody separates yet, for several threads."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = iter(jobs)
        self._returned: list[Job] = []
        self._threads = 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Count a thread that takes jobs."""
        with self._lock:
            self._threads += 1

    def leave(self) -> None:
        """Count a thread less: it takes no more jobs."""
        with self._lock:
            self._threads -= 1

    def take(self) -> Job | None:
        """Return the next job; None: there is none, and the thread ends."""
        with self._lock:
            job = self._returned.pop() if self._returned else next(self._jobs, None)
            self._threads -= job is None
            return job

    def leave_to_others(self, job: Job) -> bool:
        """Return a job that this thread cannot separate; False: no other thread is left."""
        with self._lock:
            if self._threads < 2:
                return False
            self._threads -= 1
            self._returned.append(job)
            return True
