"""The lattice: every position once, neighbours known before, from any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinpack.codec.learned.lattice import NEAREST, WIDEST, levels_of, order_of

SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_every_position_is_coded_once(size: tuple[int, int]) -> None:
    order = order_of(*size)
    assert sorted(order.places.tolist()) == list(range(size[0] * size[1]))
    assert sum(order.counts) == size[0] * size[1]
    assert 0 not in order.counts
    assert (order.rank[order.places] == np.arange(size[0] * size[1])).all()


@settings(max_examples=12, deadline=None)
@given(st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_neighbours_are_known_before_and_lie_around(size: tuple[int, int]) -> None:
    width = size[1]
    order, start = order_of(*size), 0
    for level, count, neighbours in zip(order.levels, order.counts, order.neighbours, strict=True):
        # What is named by rank was coded in an earlier level.
        assert neighbours.max(initial=0) <= start
        for place, around in zip(order.places[start : start + count], neighbours, strict=True):
            found = [divmod(int(order.places[rank - 1]), width) for rank in around if rank]
            assert sorted(found) == sorted(_around(level.kind, level.spacing, place, size))
            near = [divmod(int(order.places[r - 1]), width) for r in around[:NEAREST] if r]
            row, column = divmod(int(place), width)
            distances = {(a - row) ** 2 + (b - column) ** 2 for a, b in near}
            assert len(distances) <= 1
        start += count


def _around(kind: str, spacing: int, place: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Known positions around one, by looking at all: those of the coarser grid that lie near."""
    if kind == "first":
        return []
    row, column = divmod(int(place), size[1])
    found = []
    for a in range(size[0]):
        for b in range(size[1]):
            on_grid = a % (2 * spacing) == 0 and b % (2 * spacing) == 0
            middle = a % (2 * spacing) == spacing and b % (2 * spacing) == spacing
            known = on_grid or (kind == "cross" and middle)
            squared = (a - row) ** 2 + (b - column) ** 2
            reach = 10 if kind == "diagonal" else 5
            if known and 0 < squared <= reach * spacing**2:
                found.append((a, b))
    return found


def test_the_first_level_has_one_position_up_to_the_widest_spacing() -> None:
    for side in range(1, WIDEST + 1):
        assert order_of(side, side).counts[0] == 1
    assert order_of(2 * WIDEST, WIDEST).counts[0] == 2


def test_a_small_latent_takes_few_levels() -> None:
    assert [level.spacing for level in levels_of(1, 1)] == [1]
    assert [(level.spacing, level.kind) for level in levels_of(4, 4)] == [
        (4, "first"),
        (2, "diagonal"),
        (2, "cross"),
        (1, "diagonal"),
        (1, "cross"),
    ]


@pytest.mark.parametrize("size", [(1, 9), (9, 1), (2, 2)])
def test_narrow_latents_leave_out_levels_without_positions(size: tuple[int, int]) -> None:
    assert all(len(level.places(*size)) for level in levels_of(*size))
