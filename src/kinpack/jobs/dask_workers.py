"""Dask: workers of a cluster, or of this machine where there is none."""

from __future__ import annotations

import os
import pickle
import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from kinpack.errors import MissingExtraError
from kinpack.jobs.engine import Done, Ended, Event, Failed, Moved, Work

ADDRESS = "DASK_SCHEDULER_ADDRESS"
"""The environment variable that names the scheduler of a cluster."""


_ENDED = frozenset({"CancelledError", "CommClosedError", "KilledWorker"})
"""Errors of a task whose worker ended, or the one that held what came of it."""


@lru_cache(maxsize=2)
def _loaded(work: bytes) -> Work:
    found: Work = pickle.loads(work)  # noqa: S301 (from the client of this worker)
    return found


def _run(work: bytes, things: Sequence[Any]) -> Any:
    return _loaded(work)(things, lambda _: None)


class DaskWorkers:
    """An engine of Dask workers.

    Args:
        client: of the cluster.
        work: what they do.
        workers: how many there are.
    """

    def __init__(self, client: Any, work: Work, workers: int) -> None:
        self.workers = workers
        self._client = client
        self._work = pickle.dumps(work, protocol=5)  # what is scattered ends with its workers
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._futures: dict[int, Any] = {}  # one that nobody holds is cancelled

    def submit(self, number: int, things: Sequence[Any]) -> None:
        """Give them a task."""
        future = self._client.submit(_run, self._work, list(things), pure=False)
        self._futures[number] = future
        count = len(things)
        future.add_done_callback(lambda done: self._tell(number, count, done))

    def event(self) -> Event:
        """Wait for what happens next."""
        event = self._events.get()
        if not isinstance(event, Moved):
            self._futures.pop(event.number, None)
        return event

    def close(self) -> None:
        """Forget all that is under way."""
        with suppress(Exception):  # the cluster may be gone
            self._client.cancel([*self._futures.values()])

    def _tell(self, number: int, count: int, future: Any) -> None:
        try:
            value = future.result()
        except BaseException as error:  # some of Dask's are no Exceptions
            if _ENDED.isdisjoint(one.__name__ for one in type(error).__mro__):
                self._events.put(Failed(number, error))
            else:
                self._events.put(Ended(number, f"ended its worker ({type(error).__name__})"))
        else:
            self._events.put(Moved(number, count))
            self._events.put(Done(number, value))


@contextmanager
def dask_workers(work: Work, workers: int) -> Iterator[DaskWorkers]:
    """Start work for the length of a block, in the cluster that is there, or in one for it alone.

    Args:
        work: what they do.
        workers: how many there are.

    Raises:
        MissingExtraError: Dask is not installed.
    """
    try:
        import dask
        import distributed
    except ImportError as error:
        raise MissingExtraError(
            "the engine dask needs Dask, which is not installed; install the extra: pip install "
            '"kinpack[dask]"'
        ) from error
    address = os.environ.get(ADDRESS)
    # A task whose worker ended is told at once: it is cut into halves, not given to others whole.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        own: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1}
        own["dashboard_address"] = ":0"  # any free port
        made: Any = distributed.Client  # which has no types
        with made(address, **({} if address else own)) as client:
            engine = DaskWorkers(client, work, workers)
            try:
                yield engine
            finally:
                engine.close()
