"""Results on disk, addressed by content, each made once whoever asks for it."""

import json
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from experiments.compare.jobs import Job
from experiments.compare.results import Result, signal_from, to_plain, training_from
from experiments.config import fingerprint

Results = dict[Job, Result]


class Store(NamedTuple):
    """All results of one code version, for any number of studies.

    A run has a directory of its own, named by the content of its config, with the files of
    training, a result per kind of job, and a lock that dies with the process that holds it.

    Args:
        directory: of the code version.
    """

    directory: Path

    def run_directory(self, job: Job) -> Path:
        """Where the run of a job trains."""
        return self.directory / fingerprint(job.config)

    def result_path(self, job: Job) -> Path:
        """The file whose presence says that a job is done."""
        return self.run_directory(job) / f"{job.kind}.json"

    def read(self, job: Job) -> Result | None:
        """The result of a job, or None while it is not done."""
        try:
            plain = json.loads(self.result_path(job).read_text())
        except FileNotFoundError:
            return None
        return signal_from(plain) if job.kind == "signal" else training_from(plain)

    def read_all(self, jobs: Iterable[Job]) -> Results:
        """The results of those jobs that are done."""
        found = ((job, self.read(job)) for job in jobs)
        return {job: result for job, result in found if result is not None}

    def write(self, job: Job, result: Result) -> None:
        """Mark a job as done: the file appears whole or not at all, also when power fails."""
        path = self.result_path(job)
        draft = path.with_suffix(".draft")
        with draft.open("w") as file:
            json.dump(to_plain(result), file, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def claim(self, job: Job) -> AbstractContextManager[bool]:
        """Within the ``with`` block the job is this process's, if it says True."""
        return _claimed(self.run_directory(job) / f"{job.kind}.lock")


@contextmanager
def _claimed(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
