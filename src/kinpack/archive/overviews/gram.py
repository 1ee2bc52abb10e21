"""The Gram matrix of classes: how much the codes of one class look like those of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from kinpack.archive.overviews.coded import coded
from kinpack.archive.revisions.reader import Reader
from kinpack.pictures.images import Image
from kinpack.search.distances.distance import SearchError

DRAWN = 64
"""Most classes that are drawn."""

_CELL, _NAME, _LETTER = 34, 120, 11  # pixels


@dataclass(frozen=True)
class Gram:
    """Mean cosines between classes.

    Attributes:
        classes: names of the classes, by name.
        counts: int64 (c,), images of each.
        matrix: float64 (c, c): entry [a, b] is the mean cosine of an image of class a and another
            of class b, of vectors less the mean of all; NaN on the diagonal of a class of one
            image.
    """

    classes: list[str]
    counts: NDArray[np.int64]
    matrix: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """The matrix as JSON values, null where there is none."""
        rows = [[None if np.isnan(v) else round(v, 4) for v in row] for row in self.matrix.tolist()]
        return {"classes": self.classes, "counts": self.counts.tolist(), "matrix": rows}


def gram_of(reader: Reader, *, codes: str = "auto") -> Gram:
    """Measure how alike an archive's classes are: figure 2 of sMIC, of anyone's pictures.

    Vectors that codes stand for, less their mean, of unit length, are the rows of G; G·Gᵀ is
    averaged over the images of each two classes. Aligned perfectly, it is 1 within classes.

    Args:
        reader: the archive.
        codes: which codes; ``auto`` for the first column.

    Raises:
        SearchError: there are no such codes, or no image has a label.
        ArchiveError: a file of codes, or the describer, is missing or damaged.
    """
    found = coded(reader, codes)
    every = reader.labels
    labels = [every[position] for position in found.positions.tolist()]
    kept = np.array([label is not None for label in labels])
    if not kept.any():
        raise SearchError(
            f"{reader.where}: no image has a label; pack a folder whose subfolders are classes"
        )
    named = [label for label in labels if label is not None]
    classes = sorted(set(named))
    number = {label: k for k, label in enumerate(classes)}
    homes = np.array([number[label] for label in named])
    vectors = found.vectors[kept].astype(np.float64)
    vectors -= vectors.mean(0)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    counts = np.bincount(homes, minlength=len(classes))
    sums = np.zeros((len(classes), unit.shape[1]))
    np.add.at(sums, homes, unit)
    matrix = sums @ sums.T / (counts[:, None] * counts)
    # An image is not compared with itself.
    own = np.bincount(homes, np.square(unit).sum(1), len(classes))
    pairs = counts * (counts - 1)
    within = np.full(len(classes), np.nan)
    np.divide(np.square(sums).sum(1) - own, pairs, out=within, where=pairs > 0)
    np.fill_diagonal(matrix, within)
    return Gram(classes, counts, matrix)


def draw_gram(gram: Gram) -> Image:
    """Draw a matrix: white where classes have nothing in common, blue where much, red below 0.

    Returns:
        uint8 (H, W, 3), of the first ``DRAWN`` classes.
    """
    classes = gram.classes[:DRAWN]
    side = _NAME + _CELL * len(classes) + 8
    sheet = Pillow.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_LETTER)
    for a, name in enumerate(classes):
        short = name if len(name) <= 18 else "…" + name[-17:]
        middle = _NAME + _CELL * a + _CELL // 2
        draw.text((_NAME - 6, middle), short, fill="#111111", font=font, anchor="rm")
        across = Pillow.new("RGB", (_NAME - 6, _CELL), "white")
        ImageDraw.Draw(across).text((0, _CELL // 2), short, fill="#111111", font=font, anchor="lm")
        sheet.paste(across.rotate(90, expand=True), (_NAME + _CELL * a, 2))
        for b in range(len(classes)):
            value = float(gram.matrix[a, b])
            x, y = _NAME + _CELL * b, _NAME + _CELL * a
            draw.rectangle((x, y, x + _CELL - 1, y + _CELL - 1), fill=_colour(value))
            text = "" if np.isnan(value) else f"{value:.2f}"
            ink = "#ffffff" if value > 0.6 else "#111111"
            draw.text((x + _CELL // 2, y + _CELL // 2), text, fill=ink, font=font, anchor="mm")
    drawn: Image = np.asarray(sheet, np.uint8)
    return drawn


def _colour(value: float) -> tuple[int, int, int]:
    if np.isnan(value):
        return 238, 238, 238
    far = np.array([20, 86, 184] if value > 0 else [190, 40, 30])
    mixed = 255 + min(1.0, abs(value)) * (far - 255)
    return int(mixed[0]), int(mixed[1]), int(mixed[2])
