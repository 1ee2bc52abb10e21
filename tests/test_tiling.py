"""Pieces cover a picture once; a picture drawn row of tiles by row is the one drawn at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinpack.codec.learned.synthesis_window import SynthesisWindow
from kinpack.networks.tiling import Tiling, pieces
from kinpack.pictures.images import Image

UP = 2
SYNTHESIS = Tiling(tile=4, halo=2, up=UP)
ROWS = 6


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    tile=st.integers(1, 12),
    halo=st.integers(0, 5),
    up=st.integers(1, 3),
)
def test_pieces_put_together_are_the_whole(
    size: tuple[int, int], tile: int, halo: int, up: int
) -> None:
    whole = np.arange(size[0] * size[1]).reshape(size)
    tiling = Tiling(tile=tile, halo=halo, up=up)
    grown = whole.repeat(up, axis=0).repeat(up, axis=1)
    found = np.full_like(grown, -1)
    for piece in pieces(size, tiling):
        source = whole[piece.source]
        assert max(source.shape) <= tile + 2 * halo
        assert (found[piece.place] == -1).all()
        found[piece.place] = source.repeat(up, axis=0).repeat(up, axis=1)[piece.kept]
    assert (found == grown).all()


def test_pieces_of_a_region_see_what_lies_around_it() -> None:
    whole = np.arange(64 * 48).reshape(64, 48)
    tiling = Tiling(tile=16, halo=8, down=8)
    region = (16, 56, 8, 48)
    found = np.full((5, 5), -1)
    for piece in pieces((64, 48), tiling, region=region):
        rows, columns = piece.source
        assert rows.start % 8 == columns.start % 8 == 0
        found[piece.place] = whole[piece.source][::8, ::8][piece.kept]
    assert (found == whole[16:56:8, 8:48:8]).all()
    first = next(pieces((64, 48), tiling, region=region))
    assert first.source == (slice(8, 40), slice(0, 32))


def paint(x: NDArray[np.float32]) -> Image:
    """Pixels that see two latents to each side; nothing lies outside."""
    total = x[0].sum(0)
    seen = np.pad(total, 2)
    h, w = total.shape
    around = sum(seen[i : i + h, j : j + w] * (1 + i + 5 * j) for i in range(5) for j in range(5))
    levels = np.asarray(around).astype(np.int64) % 251
    picture = levels.repeat(UP, axis=0).repeat(UP, axis=1).astype(np.uint8)
    return np.stack([picture, picture + 1, picture + 2], axis=2)


@given(height=st.integers(1, 60), width=st.integers(1, 40), seed=st.integers(0, 9))
def test_rows_of_tiles_draw_the_whole_picture(height: int, width: int, seed: int) -> None:
    h, w = -(-height // UP), -(-width // UP)
    y_hat = np.random.default_rng(seed).integers(-3000, 3000, (1, 3, h, w))
    window = SynthesisWindow(paint, SYNTHESIS, channels=3, rows=ROWS, size=(height, width))
    for top in range(0, h, ROWS):
        row = y_hat[:, :, top : top + ROWS]
        for left in range(0, w, ROWS):
            window.put(left, row[:, :, :, left : left + ROWS])
        window.end_row(row.shape[2])
    assert (window.picture == paint(y_hat.astype(np.float32))[:height, :width]).all()


@pytest.mark.parametrize("height", [40, 400, 4000])
def test_latents_held_do_not_grow_with_the_height(height: int) -> None:
    window = SynthesisWindow(paint, SYNTHESIS, channels=3, rows=ROWS, size=(height, 30))
    assert window._held.shape == (1, 3, ROWS + 2 * SYNTHESIS.halo, 15)
