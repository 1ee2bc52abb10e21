"""Batches keep their order, and hold few things that stand for much."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from kinpack.limits import PIXEL_BYTES, batches, cores, in_parts


@given(sizes=st.lists(st.integers(0, PIXEL_BYTES + 1) | st.integers(0, 99)), most=st.integers(1, 9))
def test_batches_are_as_large_as_they_may_be(sizes: list[int], most: int) -> None:
    found = list(batches(sizes, most, n_bytes=lambda size: size))
    assert [size for batch in found for size in batch] == sizes
    for place, batch in enumerate(found):
        assert 1 <= len(batch) <= most
        assert sum(batch[:-1]) < PIXEL_BYTES
        full = len(batch) == most or sum(batch) >= PIXEL_BYTES
        assert full or place == len(found) - 1


def test_what_comes_is_asked_for_when_it_is_needed() -> None:
    asked = []

    def things() -> Iterator[int]:
        for thing in range(9):
            asked.append(thing)
            yield thing

    found = batches(things(), 4, n_bytes=lambda _: 1)
    assert next(found) == [0, 1, 2, 3]
    assert asked == [0, 1, 2, 3]


def test_no_more_threads_work_than_there_are_cores() -> None:
    def named(part: list[int]) -> list[str]:
        time.sleep(0.01)
        return [threading.current_thread().name] * len(part)

    for threads, most in ((None, cores()), (3, 3), (1, 1)):
        found = in_parts(named, list(range(40)), size=1, threads=threads)
        assert len(found) == 40
        assert len(set(found)) <= most
