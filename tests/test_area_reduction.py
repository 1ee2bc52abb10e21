"""Area reductions are exact means, whatever the image's size and sort."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinpack.describers.descriptor import area_reduction
from kinpack.pictures.images import Image, composite_on_white

IMAGES = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 4]))
)


def cell_means(image: Image, side: int) -> npt.NDArray[np.float32]:
    """Average over each cell with plain loops and exact fractions."""
    height, width = image.shape[:2]
    white = composite_on_white(image).tolist()
    cells = np.empty((side, side, 3), np.float32)
    for i in range(side):
        for j in range(side):
            total = [0, 0, 0]
            for y in range(height):
                tall = min((y + 1) * side, (i + 1) * height) - max(y * side, i * height)
                for x in range(width):
                    wide = min((x + 1) * side, (j + 1) * width) - max(x * side, j * width)
                    if tall > 0 and wide > 0:
                        for c in range(3):
                            total[c] += tall * wide * white[y][x][c]
            cells[i, j] = [float(Fraction(t, height * width)) for t in total]
    return cells


@given(image=IMAGES, side=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_area_reduction_equals_plain_loops(image: Image, side: int) -> None:
    got = area_reduction(image, side)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, cell_means(image, side))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1, 3), (32, 32, 4), (32, 32, 1), (33, 7, 3), (5, 64, 4)])
def test_area_reduction_to_32(shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(area_reduction(image), cell_means(image, 32))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(613, 200, 3), (97, 801, 4), (900, 500, 1)])
def test_area_reduction_of_large_images(
    shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    height, width, _ = shape
    # Each pixel split into 8 × 8 equal parts, every cell is a block of whole parts.
    parts = composite_on_white(image).repeat(8, axis=0).repeat(8, axis=1)
    blocks = parts.reshape(8, height, 8, width, 3).sum(axis=(1, 3), dtype=np.int64)
    wanted = (blocks / (height * width)).astype(np.float32)
    np.testing.assert_array_equal(area_reduction(image, 8), wanted)


def test_area_reduction_keeps_a_constant(rng: np.random.Generator) -> None:
    colour = rng.integers(0, 256, 3, dtype=np.uint8)
    for height, width in [(1, 1), (31, 33), (700, 3)]:
        image = np.broadcast_to(colour, (height, width, 3)).copy()
        np.testing.assert_array_equal(area_reduction(image), np.full((32, 32, 3), colour))
