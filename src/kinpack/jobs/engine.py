"""Engines: what runs work in other processes, and what they tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from kinpack.progress import Progress


class Work(Protocol):
    """What is done with some things. It pickles, and so do the things and what comes of them."""

    def __call__(self, things: Sequence[Any], progress: Progress) -> Any:
        """Do it; ``progress`` is called with the number of things just done."""
        ...


@dataclass(frozen=True, slots=True)
class Moved:
    """Some things of a task are done."""

    number: int
    count: int


@dataclass(frozen=True, slots=True)
class Done:
    """A task is done, with what came of it."""

    number: int
    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """A task failed, with the error that it raised."""

    number: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class Ended:
    """The process that did a task ended; the reason is the end of a sentence on it."""

    number: int
    reason: str


Event: TypeAlias = Moved | Done | Failed | Ended


class Engine(Protocol):
    """Processes that all do the same work, each on another task."""

    @property
    def workers(self) -> int:
        """How many there are."""

    def submit(self, number: int, things: Sequence[Any]) -> None:
        """Give them a task; it is begun as soon as one of them is free."""
        ...

    def event(self) -> Event:
        """Wait for what happens next to any task that was given."""
        ...


class Opens(Protocol):
    """Starts an engine; the work ends, whatever of it is under way, with the block."""

    def __call__(self, work: Work, workers: int) -> AbstractContextManager[Engine]:
        """Start it with some work, in so many processes."""
        ...
