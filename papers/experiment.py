"""Long experiments: many tasks, some at a time, each done once and never again."""

from __future__ import annotations

import multiprocessing
import queue
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

Progress = Callable[[float], None]
Work = Callable[[Any, Progress], None]

SECONDS_BETWEEN_LINES = 30.0


@dataclass(frozen=True)
class Task:
    """A piece of an experiment that is resumed as a whole.

    Attributes:
        name: as it is shown.
        output: the file that the task writes last, whole or not at all: where it exists, the task
            is done.
        argument: what the work is given.
        cost: work of the task, relative to the others; the time left is told from it.
    """

    name: str
    output: Path
    argument: Any
    cost: float = 1.0


class Reporter:
    """Says how far a run is and how long it will still take: a bar on a terminal, else lines."""

    def __init__(self, what: str, tasks: Sequence[Task], *, quiet: bool) -> None:
        self._what, self._quiet = what, quiet
        self._costs = {task.name: task.cost for task in tasks}
        self._done = dict.fromkeys(self._costs, 0.0)
        self._began = self._said = time.monotonic()
        self._finished = 0
        self._bar: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.progress import Progress as Bar

            self._bar = Bar(transient=True)
            self._row = self._bar.add_task(what, total=sum(self._costs.values()))
            self._bar.start()

    def advance(self, name: str, share: float) -> None:
        """Note that a task is done to a share, 0 to 1."""
        self._done[name] = share
        spent = sum(self._done[key] * cost for key, cost in self._costs.items())
        if self._bar is not None:
            self._bar.update(self._row, completed=spent)
        if share >= 1:
            self._finished += 1
        due = time.monotonic() - self._said > SECONDS_BETWEEN_LINES
        if self._quiet or self._bar is not None or not (share >= 1 or due):
            return
        self._said = time.monotonic()
        total = sum(self._costs.values())
        elapsed = self._said - self._began
        left = elapsed * (total - spent) / max(spent, 1e-9)
        print(
            f"{self._what}: {self._finished} of {len(self._costs)} done, "
            f"{100 * spent / total:.0f} %, {elapsed / 60:.1f} min spent, "
            f"about {left / 60:.0f} min left ({name})",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()


def run_tasks(
    what: str,
    tasks: Sequence[Task],
    work: Work,
    *,
    processes: int = 1,
    quiet: bool = False,
) -> int:
    """Run the tasks whose output is not there yet.

    Args:
        what: name of the run, as it is shown.
        tasks: in the order in which they are begun.
        work: does one task, given its argument and a function to tell its progress; picklable.
        processes: tasks at a time, each in a process of its own with one thread; 1 runs them here.
        quiet: say nothing.

    Returns:
        How many tasks were run.
    """
    waiting = [task for task in tasks if not task.output.exists()]
    if not waiting:
        return 0
    reporter = Reporter(what, waiting, quiet=quiet)
    try:
        if processes == 1:
            for task in waiting:
                _one_thread()
                work(task.argument, partial(_below_one, reporter, task.name))
                reporter.advance(task.name, 1.0)
        else:
            _run_apart(waiting, work, reporter, processes)
    finally:
        reporter.close()
    return len(waiting)


def _run_apart(tasks: Sequence[Task], work: Work, reporter: Reporter, processes: int) -> None:
    context = multiprocessing.get_context("spawn")
    news = context.Manager().Queue()
    with context.Pool(min(processes, len(tasks)), _one_thread, maxtasksperchild=8) as pool:
        results = {
            task.name: pool.apply_async(_reported, (work, task.argument, task.name, news))
            for task in tasks
        }
        left = set(results)
        while left:
            try:
                name, share = news.get(timeout=1.0)
                _below_one(reporter, name, share)
            except queue.Empty:
                pass
            for name in [name for name in left if results[name].ready()]:
                results[name].get()  # raises what the task raised
                left.discard(name)
                reporter.advance(name, 1.0)


def _reported(work: Work, argument: Any, name: str, news: Any) -> None:
    work(argument, lambda share: news.put((name, share)))


def _below_one(reporter: Reporter, name: str, share: float) -> None:
    """Progress of a task that is only done when its output is written."""
    reporter.advance(name, min(share, 0.999))


def _one_thread() -> None:
    """Keep a process to one thread: several at a time are faster so than one with several."""
    import torch

    torch.set_num_threads(1)
