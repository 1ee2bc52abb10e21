"""What the codes of an archive stand for: the vectors that overviews are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.reader import Reader
from kinpack.search.distances.distance import SearchError


@dataclass(frozen=True)
class Coded:
    """Vectors that codes stand for.

    Attributes:
        name: of the column of codes.
        positions: int64 (n,), of the images that have a code, ascending.
        vectors: float32 (n, E), in the descriptor space of the describer; components that make no
            distance are left out.
    """

    name: str
    positions: NDArray[np.int64]
    vectors: NDArray[np.float32]


def coded(reader: Reader, codes: str) -> Coded:
    """The vectors of a column of codes.

    Args:
        reader: the archive.
        codes: name of the column; ``auto`` for the first.

    Raises:
        SearchError: there is no such column, or no image has a code of it.
        ArchiveError: a file of codes, or the describer, is missing or damaged.
    """
    there = reader.manifest.describers
    name = there[0].name if codes == "auto" and there else codes
    packed, positions = reader.codes_of(name)
    if not len(packed):
        raise SearchError(
            f"{reader.where}: no image has a code {name!r}; add them with: kinpack embed"
        )
    quantiser = reader.describers[name].searched
    vectors = quantiser.decode(quantiser.unpack(packed))[:, quantiser.telling]
    return Coded(name, positions, np.ascontiguousarray(vectors, np.float32))
