"""Tables of the distances between all words of a product code, as the papers draw them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.search.distances.distance import symmetric_table


def symmetric_tables(quantiser: ProductQuantiser) -> NDArray[np.float32]:
    """(M, K, K): entry [m, j, k] is the squared distance of words j and k of book m."""
    M, K = quantiser.M, quantiser.K
    rows = [symmetric_table(quantiser, np.full(M, j, np.uint8)).values for j in range(K)]
    return np.stack(rows, axis=1)
