"""Fitting pictures: the same numbers as plain loops, and a mirrored picture has mirrored cells."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinpack.describers.descriptor import area_reduction
from kinpack.describers.fitting import ENLARGEMENTS, FITS, Fitting, resampled
from kinpack.pictures.images import Image, composite_on_white

IMAGES = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3, 4]))
)
ALL = [Fitting(fit=fit, enlarge=enlarge) for fit, enlarge in product(FITS, ENLARGEMENTS)]


def weights(n: int, cells: int, smooth: bool) -> list[list[Fraction]]:
    """What each of n pixels adds to each cell, as the page of the format says."""
    found = [[Fraction(0)] * n for _ in range(cells)]
    for i, y in product(range(cells), range(n)):
        if smooth and n < cells:
            p = Fraction((2 * i + 1) * n - cells, 2 * cells)
            low = p.__floor__()
            found[i][y] += (1 - p + low) * (min(max(low, 0), n - 1) == y)
            found[i][y] += (p - low) * (min(max(low + 1, 0), n - 1) == y)
        else:
            common = min((y + 1) * cells, (i + 1) * n) - max(y * cells, i * n)
            found[i][y] = Fraction(max(common, 0), n)
    return found


@given(image=IMAGES, rows=st.integers(1, 9), columns=st.integers(1, 9), smooth=st.booleans())
@settings(max_examples=60, deadline=None)
def test_cells_equal_plain_loops(image: Image, rows: int, columns: int, smooth: bool) -> None:
    white = composite_on_white(image).tolist()
    height, width = image.shape[:2]
    down, across = weights(height, rows, smooth), weights(width, columns, smooth)
    got = resampled(image, rows, columns, smooth=smooth)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    for i, j, c in product(range(rows), range(columns), range(3)):
        cell = sum(
            down[i][y] * across[j][x] * white[y][x][c]
            for y, x in product(range(height), range(width))
        )
        assert got[i, j, c] == np.float32(float(cell))


@given(image=IMAGES, side=st.integers(1, 20), fitting=st.sampled_from(ALL))
@settings(max_examples=100, deadline=None)
def test_mirrored_turned_and_constant_pictures(image: Image, side: int, fitting: Fitting) -> None:
    cells = fitting.cells(image, side)
    assert cells.shape == (side, side, 3)
    np.testing.assert_array_equal(fitting.cells(image[:, ::-1], side), cells[:, ::-1])
    np.testing.assert_array_equal(fitting.cells(image[::-1], side), cells[::-1])
    turned = fitting.cells(image.swapaxes(0, 1), side).swapaxes(0, 1)
    np.testing.assert_allclose(turned, cells, rtol=1e-6)
    assert (fitting.cells(np.full_like(image, 128)[..., :1], side) == 128).all()


@given(image=IMAGES, side=st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_squeezing_in_blocks_is_the_area_reduction(image: Image, side: int) -> None:
    np.testing.assert_array_equal(Fitting().cells(image, side), area_reduction(image, side))


def test_how_an_oblong_is_fitted() -> None:
    image = np.zeros((4, 12, 1), np.uint8)
    image[:, 4:8] = 200
    middle = Fitting(fit="crop").cells(image, 4)
    assert (middle == 200).all()
    boxed = Fitting(fit="letterbox").cells(image, 12)
    assert (boxed[:4] == 128).all()
    assert (boxed[8:] == 128).all()
    np.testing.assert_array_equal(boxed[4:8, :, 0], image[:, :, 0])
    np.testing.assert_array_equal(Fitting().cells(image, 4)[..., 0].mean(), np.float32(200 / 3))


def test_smooth_enlargement_rises_in_equal_steps() -> None:
    image = np.array([[[0], [80]]], np.uint8)
    cells = Fitting(enlarge="smooth").cells(image, 8)[0, :, 0]
    assert cells.tolist() == [0, 0, 10, 30, 50, 70, 80, 80]


@pytest.mark.parametrize("fitting", ALL)
def test_values_come_back(fitting: Fitting) -> None:
    assert Fitting.from_dict({**fitting.to_dict(), "name": "x"}) == fitting
    assert Fitting.from_dict({}) == Fitting(fit="squeeze", enlarge="blocks")
