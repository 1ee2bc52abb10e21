"""The range coder that runs here: constriction's, or the plain one where that is missing."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple


class Library(NamedTuple):
    """Classes that code, of one library; those of constriction's ``stream`` by name."""

    RangeEncoder: Any
    RangeDecoder: Any
    Categorical: Any
    Uniform: Any


@cache
def library() -> Library:
    """Return constriction's classes, or those of `plain_coder`, which write the same bytes."""
    try:
        from constriction import stream  # no package of its own: an attribute of constriction's
    except ImportError:
        from kinpack.entropy import plain_coder as plain

        return Library(plain.RangeEncoder, plain.RangeDecoder, plain.Categorical, plain.Uniform)
    queue, model = stream.queue, stream.model
    return Library(queue.RangeEncoder, queue.RangeDecoder, model.Categorical, model.Uniform)
