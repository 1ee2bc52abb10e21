"""A map: images laid out in a plane by the two directions in which their codes differ most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from kinpack.archive.overviews.coded import coded
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.showing.tiles import Read, Tile, paste
from kinpack.pictures.images import Image

SIDE, CELLS = 1600, 40
"""Longest side of a map in pixels, and cells along it, each of which holds one picture."""


@dataclass(frozen=True)
class Map:
    """Where images lie.

    Attributes:
        ids: of the images.
        places: float32 (n, 2), from 0 to 1: to the right, and downwards; the larger of the two
            directions spans the whole.
        share: of all variance that the two directions hold, 0 to 1.
    """

    ids: list[str]
    places: NDArray[np.float32]
    share: float


def map_of(reader: Reader, *, codes: str = "auto") -> Map:
    """Lay out an archive's images by principal components of what their codes stand for.

    Args:
        reader: the archive.
        codes: which codes; ``auto`` for the first column.

    Raises:
        SearchError: there are no such codes.
        ArchiveError: a file of codes, or the describer, is missing or damaged.
    """
    found = coded(reader, codes)
    centred = found.vectors - found.vectors.mean(0)
    values, directions = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    first = directions[:, ::-1][:, :2]
    # Of each direction's two signs the one whose largest component is positive.
    first = first * np.sign(first[np.abs(first).argmax(0), np.arange(first.shape[1])])
    places = np.zeros((len(centred), 2))
    places[:, : first.shape[1]] = centred @ first
    low, reach = places.min(0), np.ptp(places, axis=0).max()
    placed = (places - low) / (reach if reach > 0 else 1.0)
    share = float(values[::-1][:2].sum() / max(values.sum(), 1e-30))
    ids = reader.ids
    return Map([ids[p] for p in found.positions.tolist()], placed.astype(np.float32), share)


def draw_map(layout: Map, read: Read) -> Image:
    """Draw a map: in each cell that some image lies in, the one nearest to its middle.

    Args:
        layout: where images lie.
        read: gives an image by its id.

    Returns:
        uint8 (H, W, 3); a damaged image stays empty.
    """
    extent = layout.places.max(0)
    cells = np.minimum((layout.places * CELLS).astype(np.int64), CELLS - 1)
    far = np.square(layout.places * CELLS - (cells + 0.5)).sum(1)
    order = np.argsort(far, kind="stable")
    _, first = np.unique(cells[order], axis=0, return_index=True)
    step = SIDE // CELLS
    across, down = (int(np.ceil(max(side * CELLS, 1))) for side in extent.tolist())
    sheet = Pillow.new("RGB", (across * step, down * step), "white")
    for row in order[first].tolist():
        left, top = (cells[row] * step).tolist()
        paste(sheet, (left, top), Tile(layout.ids[row], ()), read, side=step)
    drawn: Image = np.asarray(sheet, np.uint8)
    return drawn
