"""Ray: actors of a cluster, or of this machine where there is none; each keeps the work."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kinpack.errors import MissingExtraError
from kinpack.jobs.engine import Done, Ended, Event, Failed, Moved, Work

_OBJECT_BYTES = 256 << 20


class _Worker:
    """What an actor is: the work, done on the tasks that it is given."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def run(self, things: Sequence[Any]) -> Any:
        """Do the work on a task."""
        return self._work(things, lambda _: None)


class RayActors:
    """An engine of Ray actors.

    Args:
        ray: the package, connected.
        work: what they do.
        workers: how many there are.
    """

    def __init__(self, ray: Any, work: Work, workers: int) -> None:
        self.workers = workers
        self._ray = ray
        self._actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Worker)
        self._work = ray.put(work)
        self._idle = [self._actor.remote(self._work) for _ in range(workers)]
        self._tasks: deque[tuple[int, Sequence[Any]]] = deque()
        self._running: dict[Any, tuple[int, int, Any]] = {}
        self._events: deque[Event] = deque()

    def submit(self, number: int, things: Sequence[Any]) -> None:
        """Give them a task."""
        self._tasks.append((number, things))
        self._begin()

    def event(self) -> Event:
        """Wait for what happens next."""
        while not self._events:
            (done,), _ = self._ray.wait([*self._running], num_returns=1)
            number, count, actor = self._running.pop(done)
            try:
                value = self._ray.get(done)
            except self._ray.exceptions.RayTaskError as error:
                self._idle.append(actor)
                cause = error.cause if isinstance(error.cause, Exception) else error
                self._events.append(Failed(number, cause))
            except self._ray.exceptions.RayError as error:  # an actor, its node, or what it gave
                with suppress(Exception):
                    self._ray.kill(actor)
                self._idle.append(self._actor.remote(self._work))
                kind = type(error).__name__
                self._events.append(Ended(number, f"ended its actor ({kind})"))
            else:
                self._idle.append(actor)
                self._events += [Moved(number, count), Done(number, value)]
            self._begin()
        return self._events.popleft()

    def close(self) -> None:
        """End all, whatever is under way."""
        for actor in [*self._idle, *(actor for _, _, actor in self._running.values())]:
            with suppress(Exception):  # it, or the whole cluster, may be gone
                self._ray.kill(actor)

    def _begin(self) -> None:
        while self._tasks and self._idle:
            number, things = self._tasks.popleft()
            actor = self._idle.pop()
            self._running[actor.run.remote(list(things))] = number, len(things), actor


@contextmanager
def ray_actors(work: Work, workers: int) -> Iterator[RayActors]:
    """Start actors for the length of a block, in the cluster that is there, or in one for it alone.

    Args:
        work: what they do.
        workers: how many there are.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of it
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            "the engine ray needs Ray, which is not installed; install the extra: pip install "
            '"kinpack[ray]"'
        ) from error
    alone = not ray.is_initialized()
    if alone:
        address = os.environ.get("RAY_ADDRESS")
        own: dict[str, Any] = {
            "num_cpus": workers,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_BYTES,
        }
        ray.init(log_to_driver=False, **({"address": address} if address else own))
    engine = RayActors(ray, work, workers)
    try:
        yield engine
    finally:
        engine.close()
        if alone:
            ray.shutdown()
