"""Batches keep their order, and hold few things that stand for much."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from kinpack.limits import PIXEL_BYTES, batches


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
