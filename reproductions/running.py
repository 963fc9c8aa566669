"""Runs experiments, several at once, each to its page; one that fails does not keep the others from running."""

from __future__ import annotations

import shutil
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from sparring.errors import JobFailed, ServiceError

from reproductions import page
from reproductions.experiment import Experiment, digest
from reproductions.lab import Lab
from reproductions.results import FILE, Results

if TYPE_CHECKING:
    from sparring.client import Client


@dataclass(frozen=True, kw_only=True)
class Run:
    """How experiments are run. `say` prints a line, from several threads at once."""

    client: Client
    out: Path
    quick: bool
    seed: int
    say: Callable[[str], None]

    def command(self, name: str) -> str:
        """The command that repeats one experiment."""
        flags = (" --quick" if self.quick else "") + (f" --seed {self.seed}" if self.seed else "")
        return f"sparring reproduce {name}{flags}"

    def stands(self, experiment: Experiment) -> Results | None:
        """The results of the last run, if it had this code and these settings."""
        found = Results.load(self.out / experiment.name)
        current = digest(experiment, quick=self.quick, seed=self.seed)
        return found if found is not None and found.digest == current else None

    def once(self, experiment: Experiment) -> Results:
        """Run one experiment and write its page; what the last run left is cleared away."""
        folder = self.out / experiment.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        code = digest(experiment, quick=self.quick, seed=self.seed)
        began = time.monotonic()
        lab = Lab(
            experiment.name,
            experiment.bars,
            self.client,
            folder,
            quick=self.quick,
            seed=self.seed,
            say=lambda line: self.say(f"{experiment.name}: {line}"),
        )
        experiment.run(lab)
        results = Results(
            name=experiment.name,
            title=experiment.title,
            papers=experiment.papers,
            data=experiment.data,
            differs=experiment.differs,
            command=self.command(experiment.name),
            quick=self.quick,
            seed=self.seed,
            digest=code,
            version=version("sparring"),
            seconds=round(time.monotonic() - began, 1),
            rows=lab.rows,
            verdicts=lab.verdicts(),
            pictures=lab.pictures,
            worked=round(lab.worked, 1),
        )
        page.write(results, folder)
        results.save(folder)
        return results


@dataclass(frozen=True, kw_only=True)
class Ended:
    """An experiment that has ended: its results, or why there are none; `again` False: they stood already."""

    name: str
    results: Results | None = None
    failure: str = ""
    again: bool = True


def run_all(run: Run, experiments: Sequence[Experiment], at_once: int) -> SimpleQueue[Ended]:
    """Begin to run experiments, so many at once, and give a queue of as many ends.

    The threads are daemons: who is interrupted does not wait for them, and their jobs go on at the next run.
    """
    waiting: SimpleQueue[Experiment] = SimpleQueue()
    ended: SimpleQueue[Ended] = SimpleQueue()
    for experiment in experiments:
        waiting.put(experiment)

    def work() -> None:
        while True:
            try:
                experiment = waiting.get_nowait()
            except Empty:
                return
            ended.put(_attempt(run, experiment))

    for number in range(min(at_once, len(experiments))):
        threading.Thread(target=work, name=f"experiment-{number}", daemon=True).start()
    return ended


def _attempt(run: Run, experiment: Experiment) -> Ended:
    """Run one experiment, whatever comes of it."""
    try:
        stood = run.stands(experiment)
        if stood is not None:
            return Ended(name=experiment.name, results=stood, again=False)
        return Ended(name=experiment.name, results=run.once(experiment))
    except JobFailed as error:
        title = f"{error.job.display_name}: " if error.job.display_name else ""
        return Ended(name=experiment.name, failure=f"{title}{error}")
    except ServiceError as error:
        return Ended(name=experiment.name, failure=str(error))
    except Exception:  # noqa: BLE001 - a fault in one experiment must not end the others; it is shown whole
        return Ended(name=experiment.name, failure=traceback.format_exc())


def publish(out: Path, docs: Path, names: Sequence[str], known: Sequence[str]) -> None:
    """Copy the pages of experiments that stand in `out` to `docs`, and write the table of all that stand there."""
    docs.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (out / name / FILE).is_file():
            shutil.rmtree(docs / name, ignore_errors=True)
            shutil.copytree(out / name, docs / name)
    page.write_readme(docs, known)
