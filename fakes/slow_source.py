"""Pictures that take their time, and one that ends the process that reads it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial

from fakes.fake_codec import FakeSource, pictures
from kinpack.pictures.images import Image
from kinpack.sources.items import Item

SLOW = 0.02
"""Seconds for which each picture is read, so that there is something to interrupt."""

POISON = 17
"""Place of the picture that ends the process that reads it."""


def slowly(load: Callable[[], Image]) -> Image:
    """Load a picture, and take time for it."""
    time.sleep(SLOW)
    return load()


def ending() -> Image:
    """End the process, as a decoder does that meets a fault of its own."""
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError("ended")


class SlowSource(FakeSource):
    """Pictures that take time; one of them, if any, ends the process that reads it."""

    poisoned = False

    def __iter__(self) -> Iterator[Item]:
        for number, item in enumerate(super().__iter__()):
            load = ending if self.poisoned and number == POISON else partial(slowly, item.load)
            yield Item(item.id, item.label, load)


def slow_source(count: int, *, first: int = 0, poisoned: bool = False) -> SlowSource:
    """Slow pictures, numbered from ``first`` on."""
    made = SlowSource(pictures(count, first=first).images)
    made.poisoned = poisoned
    return made
