"""Clocks that are set forth and back while a process works: what the package asks tells such times.

Only the time of day steps, as it does when a machine's clock is set: what counts seconds since some
moment, and what the disk or an object store notes, goes on as ever.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, tzinfo
from typing import Self
from unittest.mock import patch

_DAY = 24 * 3600.0
BACK = (0.0, -1.0, -90.0, -3600.0, -_DAY, -20 * 365 * _DAY)
"""Seconds by which a clock is behind, one after the other by chance."""

STEPS = (*BACK, 1.0, 90.0, 3600.0, _DAY, 20 * 365 * _DAY)
"""Seconds by which a clock is behind or ahead."""

_BETWEEN = 2.0  # seconds from step to step, about


class _Stepping:
    """A clock that is set anew every few seconds."""

    def __init__(
        self, chance: random.Random, steps: tuple[float, ...], told: Callable[[], object]
    ) -> None:
        self._chance = chance
        self._steps = steps
        self._told = told
        self._time = time.time
        self._offset = 0.0
        self._due = 0.0

    def __call__(self) -> float:
        """Seconds since 1970, or what it takes for that."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + self._chance.uniform(0, 2 * _BETWEEN)
            self._offset = self._chance.choice(self._steps)
            self._told()
        return self._time() + self._offset


@contextmanager
def stepping(
    chance: random.Random, steps: tuple[float, ...], told: Callable[[], object]
) -> Iterator[None]:
    """Let the clock step in this process for the time of a block.

    Args:
        chance: of the steps.
        steps: seconds that the clock may be wrong by.
        told: called whenever it has stepped.
    """
    clock = _Stepping(chance, steps, told)

    class Stepped(datetime):
        """Times of day by that clock."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            """The time of day."""
            return cls.fromtimestamp(clock(), tz)

    with ExitStack() as stack:
        stack.enter_context(patch.object(time, "time", clock))
        for name, module in list(sys.modules.items()):
            if name.startswith("kinpack.") and vars(module).get("datetime") is datetime:
                stack.enter_context(patch.object(module, "datetime", Stepped))
        yield
