"""What distances mean: beside those between strangers, which differ from describer to describer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.search.comparison.comparison import SAME
from kinpack.search.engines.packed_codes import PackedCodes

SAME_SHARE = 0.2
"""Of what strangers lie apart: a query's distance at which the similarity is `SAME`.

Of 150 photographs a picture's own code was 0.10 to 0.21 of that away by ``look`` and 0.02 to 0.14
by ``classic``, the nearest of the others' 0.32 and 0.13.
"""
TWIN_SHARE = 0.1
"""Of what strangers lie apart: a distance between two codes up to which they show one picture."""

_PAIRS = 4096  # of which the median is taken


def strangers_apart(packed: PackedCodes, quantiser: ProductQuantiser) -> float:
    """The median distance between the codes of two images of a collection, above 0.

    Args:
        packed: codes, of which always the same are taken.
        quantiser: the books by which distances are.

    Raises:
        CodecError: a sub-index is not below K.
    """
    n = len(packed)
    if n > 1:
        chance = np.random.default_rng(0)
        first = chance.integers(0, n, _PAIRS)
        other = (first + chance.integers(1, n, _PAIRS)) % n
        vectors = [quantiser.decode(quantiser.unpack(packed.rows(rows))) for rows in (first, other)]
        distances = np.square(vectors[0].astype(np.float64) - vectors[1]).sum(axis=1)
        # np.median would import the masked arrays of numpy first.
        middle = np.partition(distances, [_PAIRS // 2 - 1, _PAIRS // 2])
        median = float(middle[_PAIRS // 2 - 1 : _PAIRS // 2 + 1].mean())
        if (found := median or float(distances.mean())) > 0:
            return found
    # Of one image, or of many that are all the same: as far as words taken by chance.
    books = quantiser.codebooks.astype(np.float64)
    spread = 2 * books.var(axis=1).sum()
    return float(spread) if spread > 0 else 1.0


def similarities(distances: NDArray[np.float32], apart: float) -> NDArray[np.float64]:
    """What distances say of how far an image shows the very picture of the query.

    Args:
        distances: float32 (h,), 0 or more.
        apart: what strangers lie apart.

    Returns:
        float64 (h,), 0 to 1; falling, and nowhere flat but by rounding.
    """
    return np.power(SAME, distances.astype(np.float64) / (SAME_SHARE * apart))
