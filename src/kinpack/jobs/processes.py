"""Processes of this machine: as many interpreters as are asked for, each begun anew and let go."""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.spawn import get_preparation_data
from typing import Any, BinaryIO, cast

from kinpack.errors import KinpackError
from kinpack.jobs.engine import Done, Ended, Event, Failed, Moved, Work
from kinpack.jobs.worker import DONE, MOVED, READY, receive, send, send_bytes

_START = """import pickle, sys
from multiprocessing.spawn import prepare
prepare(pickle.load(sys.stdin.buffer))
from kinpack.jobs.worker import main
main()"""
_SAME = ("dir", "orig_dir", "sys_path")  # so that it finds what this process finds


class JobError(KinpackError):
    """Work cannot be done in other processes."""


class _Process:
    """One interpreter; it ends by itself when this process does.

    Args:
        work: what it does, pickled.

    Raises:
        JobError: it cannot be begun.
    """

    def __init__(self, work: bytes) -> None:
        known = get_preparation_data("kinpack")
        variables = {"OMP_NUM_THREADS": "1", **os.environ}  # the processes are what works at a time
        options: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
        try:
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter)
                [sys.executable, "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=variables,
                **options,
            )
        except OSError as error:
            raise JobError(
                f"{sys.executable}: another process cannot be begun ({error.strerror}); use one: "
                "--jobs 1"
            ) from error
        self._to = cast(BinaryIO, self._process.stdin)
        self._from = cast(BinaryIO, self._process.stdout)
        try:
            pickle.dump({name: known[name] for name in _SAME if name in known}, self._to)
            send_bytes(self._to, work)
            begun = receive(self._from)[0] == READY
        except (EOFError, OSError, pickle.UnpicklingError):
            begun = False
        if not begun:
            reason = self.end()
            raise JobError(
                f"{sys.executable}: a process that was begun to work {reason} at once; what it "
                "printed tells why; use this one alone: --jobs 1"
            )

    def give(self, things: Sequence[Any]) -> None:
        """Begin a task.

        Raises:
            OSError: it has ended.
            Exception: the things do not pickle.
        """
        send(self._to, list(things))

    def answer(self) -> tuple[str, Any]:
        """What it says next.

        Raises:
            EOFError: it has ended.
        """
        said: tuple[str, Any] = receive(self._from)
        return said

    def end(self) -> str:
        """End it; tells how it ended, if by itself, as the end of a sentence."""
        with suppress(OSError):
            self._to.close()
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(0.5)
        self.kill()
        self._process.wait()
        self._from.close()
        if code is not None and code < 0:
            return f"ended its process by signal {-code}"
        return f"ended its process with exit code {code}"

    def kill(self) -> None:
        """End it at once, from whatever thread."""
        with suppress(OSError):
            self._process.kill()


class Processes:
    """An engine of processes of this machine.

    Args:
        work: what they do.
        workers: how many there are.
    """

    def __init__(self, work: Work, workers: int) -> None:
        self.workers = workers
        self._work = pickle.dumps(work, protocol=5)
        self._tasks: queue.SimpleQueue[tuple[int, Sequence[Any]] | None] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._going: set[_Process] = set()
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, number: int, things: Sequence[Any]) -> None:
        """Give them a task."""
        self._tasks.put((number, things))

    def event(self) -> Event:
        """Wait for what happens next."""
        while True:
            with suppress(queue.Empty):  # where a wait for ever does not see Ctrl-C
                return self._events.get(timeout=1.0)

    def close(self) -> None:
        """End all, whatever is under way."""
        with self._lock:
            self._closed = True
            for process in self._going:
                process.kill()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        """Give tasks to one process, and another one where that ends."""
        process: _Process | None = None
        while (task := self._tasks.get()) is not None:
            number, things = task
            if self._closed:
                continue
            try:
                if process is None:
                    process = self._begun()
                process.give(things)
                while (said := process.answer())[0] == MOVED:
                    self._events.put(Moved(number, said[1]))
                done = said[0] == DONE
                self._events.put(Done(number, said[1]) if done else Failed(number, said[1]))
            except (EOFError, OSError):
                reason = "" if process is None else self._ended(process)
                process = None
                self._events.put(Ended(number, reason))
            except Exception as error:
                self._events.put(Failed(number, error))
        if process is not None:
            self._ended(process)

    def _begun(self) -> _Process:
        process = _Process(self._work)
        with self._lock:
            self._going.add(process)
            if self._closed:
                process.kill()
        return process

    def _ended(self, process: _Process) -> str:
        with self._lock:
            self._going.discard(process)
        return process.end()


@contextmanager
def processes(work: Work, workers: int) -> Iterator[Processes]:
    """Start processes of this machine for the length of a block."""
    engine = Processes(work, workers)
    try:
        yield engine
    finally:
        engine.close()
