"""Mapping: tasks given to an engine, and what came of them, in the order of the tasks.

A thing on which its process ends would end every process that it is given to. So a task that ended
one is cut into halves, and these again, until the thing stands alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, TypeVar

from kinpack.jobs.engine import Done, Ended, Engine, Failed, Moved
from kinpack.progress import Progress

T = TypeVar("T")

AHEAD = 2
"""Tasks for each process that are under way, or wait for it."""

_OUT_OF_ORDER = 16  # tasks for each process, of which the first may be the last to be done
_TRIES = 2  # of one thing alone: its process may have ended for another reason


@dataclass(frozen=True, slots=True)
class Ready:
    """A result that stands in the place of a task."""

    value: Any


@dataclass(frozen=True, slots=True)
class Lost(Generic[T]):
    """A thing on which its process ended, each time that it was tried.

    Attributes:
        thing: it.
        reason: the end of a sentence.
    """

    thing: T
    reason: str


@dataclass(slots=True, eq=False)
class _Slot:
    """A task, and what has become of it."""

    things: Sequence[Any] = ()
    told: int = 0
    ends: int = 0
    done: bool = False
    value: Any = None
    error: BaseException | None = field(default=None)


def map_ordered(
    engine: Engine, tasks: Iterable[Sequence[Any] | Ready], progress: Progress | None = None
) -> Iterator[Any]:
    """Give tasks to an engine; what came of each is given in their order.

    Args:
        engine: does the work.
        tasks: drawn as they are needed, each of one thing or more.
        progress: called with the number of things just done, from this thread; never for one thing
            twice.

    Yields:
        What came of a task, or of several parts of it; or ``Lost`` for a thing that ends whatever
        process it is given to.

    Raises:
        Exception: what a task raised, as soon as all tasks before it have been given.
    """
    coming, numbers = iter(tasks), count()
    slots: deque[_Slot] = deque()
    running: dict[int, _Slot] = {}
    credit = 0  # things that were told as done, and are done again
    more = True

    def submit(slot: _Slot) -> None:
        number = next(numbers)
        running[number] = slot
        engine.submit(number, slot.things)

    while True:
        while slots and slots[0].done:
            slot = slots.popleft()
            if slot.error is not None:
                raise slot.error
            yield slot.value
        failed = any(slot.error is not None for slot in slots)
        while (
            more
            and not failed
            and len(running) < AHEAD * engine.workers
            and len(slots) < _OUT_OF_ORDER * engine.workers
        ):
            task = next(coming, None)
            if task is None:
                more = False
            elif isinstance(task, Ready):
                slots.append(_Slot(done=True, value=task.value))
            else:
                slots.append(_Slot(task))
                submit(slots[-1])
        if slots and slots[0].done:
            continue
        if not running:
            return
        match engine.event():
            case Moved(number, told):
                running[number].told += told
                again = min(credit, told)
                credit -= again
                if progress and told > again:
                    progress(told - again)
            case Done(number, value):
                slot = running.pop(number)
                slot.done, slot.value = True, value
            case Failed(number, error):
                slot = running.pop(number)
                slot.done, slot.error = True, error
            case Ended(number, reason):
                slot = running.pop(number)
                credit += slot.told
                slot.told, slot.ends = 0, slot.ends + 1
                if len(slot.things) > 1:
                    half = len(slot.things) // 2
                    place = slots.index(slot)
                    parts = [_Slot(slot.things[:half]), _Slot(slot.things[half:])]
                    del slots[place]
                    for at, part in enumerate(parts):
                        slots.insert(place + at, part)
                        submit(part)
                elif slot.ends < _TRIES:
                    submit(slot)
                else:
                    slot.done, slot.value = True, Lost(slot.things[0], reason)
                    if progress:
                        progress(1)
