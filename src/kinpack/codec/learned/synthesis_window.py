"""Synthesis of a large picture from few latents at a time, as its tiles come row by row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kinpack.codec.learned.latent_coder import Ints
from kinpack.networks.networks import Array
from kinpack.networks.tiling import Tiling, pieces
from kinpack.pictures.images import Image


class SynthesisWindow:
    """Latents of a large picture, each held until all pixels that see it are drawn.

    ```
     halo   drawn, but seen by the row below
     halo   not drawn before what lies below is known
     rows   the tiles that come
    ```
    Args:
        paint: draws pixels: input (1, channels, h, w) of integer latents, output uint8
            (up·h, up·w, 3).
        tiling: of the synthesis.
        channels: of the latents.
        rows: most latent rows that come at a time.
        size: (height, width) of the picture in pixels.
    """

    def __init__(
        self,
        paint: Callable[[Array], Image],
        tiling: Tiling,
        *,
        channels: int,
        rows: int,
        size: tuple[int, int],
    ) -> None:
        self.picture: Image = np.empty((*size, 3), dtype=np.uint8)
        self._paint, self._tiling = paint, tiling
        height = min(rows + 2 * tiling.halo, -(-size[0] // tiling.up))
        width = -(-size[1] // tiling.up)
        self._held: Array = np.empty((1, channels, height, width), dtype=np.float32)
        self._top = self._drawn = self._known = 0  # latent rows, counted from the picture's top

    def put(self, left: int, tile: Ints) -> None:
        """Take in a tile (1, channels, h, w) of the row that comes, from latent column ``left``."""
        first = self._known - self._top
        _, _, h, w = tile.shape
        self._held[:, :, first : first + h, left : left + w] = tile

    def end_row(self, rows: int) -> None:
        """Draw all that can be drawn, now that the tiles of so many more latent rows are there."""
        self._known += rows
        halo, up = self._tiling.halo, self._tiling.up
        last = self._known * up >= len(self.picture)
        until = self._known if last else self._known - halo
        region = (self._drawn - self._top, until - self._top, 0, self._held.shape[3])
        size = (self._known - self._top, self._held.shape[3])
        for piece in pieces(size, self._tiling, region=region):
            painted = self._paint(self._held[:, :, *piece.source])[piece.kept]
            rows_at, columns_at = piece.place
            top, left = rows_at.start + self._drawn * up, columns_at.start
            part = self.picture[top : top + len(painted), left : left + painted.shape[1]]
            part[:] = painted[: part.shape[0], : part.shape[1]]
        self._drawn = until
        top = max(self._top, until - halo)
        kept = self._known - top
        self._held[:, :, :kept] = self._held[:, :, top - self._top : self._known - self._top].copy()
        self._top = top
