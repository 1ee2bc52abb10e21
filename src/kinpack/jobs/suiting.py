"""How many processes a piece of work is worth: their start must not cost more than they save."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from kinpack.arguments import whole_number
from kinpack.errors import KinpackError
from kinpack.limits import cores

FEWEST = 64
"""Things of fewer of which nobody asks how long they take."""

WORTH_SECONDS = 20.0
"""Seconds of work for which processes are begun: each takes about two of a core to begin."""

_TRIED = 3


def suiting(jobs: int | None, count: int, try_out: Callable[[int], object]) -> int:
    """Tell how many processes suit.

    Args:
        jobs: how many are asked for; ``None`` for as many as there are cores, and one where the
            work is small.
        count: things to be done.
        try_out: does the work of one of the first things, for nothing.

    Raises:
        KinpackError: it is no such number.
    """
    if jobs is not None:
        return whole_number(jobs, "jobs")
    if cores() < 2 or count < FEWEST:
        return 1
    begun = monotonic()
    try:
        for number in range(_TRIED):
            try_out(number)
            if number == 0:  # which loads what is needed
                begun = monotonic()
    except (KinpackError, OSError, IndexError, StopIteration):
        return 1  # whoever does the work says what is wrong
    each = (monotonic() - begun) / (_TRIED - 1)
    return cores() if each * count >= WORTH_SECONDS else 1
