"""Batches: things that stand for pictures, so many at a time that their pixels fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

PIXEL_BYTES = 64 << 20
"""Most bytes of decoded pixels held at a time, beyond one image."""

T = TypeVar("T")


def batches(
    things: Iterable[T], size: int, *, n_bytes: Callable[[T], int], full: int | None = None
) -> Iterator[list[T]]:
    """Cut a sequence into batches, fewer in each where pictures are large.

    Args:
        things: in order.
        size: most in a batch.
        n_bytes: bytes that one is worth, as a rule of its pixels.
        full: a batch ends with the one that brings its bytes to so many; by default 64 MiB.
    """
    full = PIXEL_BYTES if full is None else full
    batch: list[T] = []
    held = 0
    for thing in things:
        batch.append(thing)
        held += n_bytes(thing)
        if len(batch) >= size or held >= full:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
