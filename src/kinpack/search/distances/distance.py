"""Distance tables: squared distances between the words of a product code, and their exact form.

The squared distance of a query q and a coded image x is a sum of M looked-up numbers,
d(q, x) = Σ_m LT_m(z_q^(m), z_x^(m)), equal to the squared Euclidean distance of the vectors that
the two codes stand for (symmetric), or of the query's own descriptor and x's vector (asymmetric).

Ranking is by the table's integer form, whose sums are exact: every engine gives the same order,
(distance, position), ties included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import KinpackError

_SUM_BITS = 30
"""A sum of M integers stays near 2^30, below the 2^31 of int32 whatever the rounding."""


class SearchError(KinpackError):
    """A query, or the codes to search, do not fit together."""


@dataclass(frozen=True, eq=False)
class DistanceTable:
    """Squared distances of one query to every word of every book.

    Attributes:
        quantiser: whose words these are.
        point: float32 (D,); the query itself: its descriptor, or what its code stands for.
        values: float32 (M, K); ``values[m, k]`` is the squared distance of the query's part m to
            word k of book m.
        integers: int32 (M, K); ``values`` in whole steps, rounded to nearest (half to even).
        scale: the step, a power of two. The distance of a code is ``scale`` times the sum of its
            M integers; no sum reaches 2^31.
    """

    quantiser: ProductQuantiser
    point: NDArray[np.float32]
    values: NDArray[np.float32]
    integers: NDArray[np.int32]
    scale: float

    def steps(self, indices: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Give the distances to codes in whole steps: what ranking goes by.

        Args:
            indices: uint8 (n, M), sub-indices below K.

        Returns:
            int32 (n,).
        """
        sums: NDArray[np.int32] = self.integers[np.arange(self.quantiser.M), indices].sum(
            axis=1, dtype=np.int32
        )
        return sums

    def in_units(self, steps: NDArray[np.int32]) -> NDArray[np.float32]:
        """Turn whole steps into squared distances, float32 of the same shape."""
        return (steps.astype(np.float64) * self.scale).astype(np.float32)


def symmetric_table(quantiser: ProductQuantiser, code: NDArray[np.uint8]) -> DistanceTable:
    """Make the table of a query that is itself a code: row z_q^(m) of every LT_m.

    Args:
        quantiser: the books of both codes.
        code: uint8 (M,), the query's sub-indices.

    Raises:
        CodecError: the code is not of these books.
        SearchError: the words lie too far apart for float32.
    """
    return asymmetric_tables(quantiser, quantiser.decode(np.asarray(code)[None]))[0]


def asymmetric_table(quantiser: ProductQuantiser, descriptor: NDArray[Any]) -> DistanceTable:
    """Make the table of a query that is not quantised: closer to the true order.

    Args:
        quantiser: the books of the codes searched.
        descriptor: (D,), the query's descriptor.

    Raises:
        SearchError: the descriptor has another shape, or is not finite.
    """
    return asymmetric_tables(quantiser, np.asarray(descriptor, np.float32)[None])[0]


def asymmetric_tables(
    quantiser: ProductQuantiser, descriptors: NDArray[Any]
) -> list[DistanceTable]:
    """Make the tables of several queries at once; each is what ``asymmetric_table`` makes.

    Args:
        quantiser: the books of the codes searched.
        descriptors: (q, D).

    Raises:
        SearchError: a descriptor has another shape, or is not finite.
    """
    points = np.array(descriptors, dtype=np.float32)
    check_descriptor(quantiser, points.shape[1:])
    if not np.isfinite(points).all():
        raise SearchError("a query holds numbers that are not finite: check its image")
    parts = points.reshape(len(points), quantiser.M, 1, quantiser.D // quantiser.M)
    values = _squared_distances(parts, quantiser.codebooks)
    totals = values.max(axis=2).sum(axis=1, dtype=np.float64)
    if not np.isfinite(totals).all():
        raise SearchError("a query is too far from every word: check its descriptor")
    # frexp gives total < 2^exponent. Steps finer than 2^-1000 could not be told apart.
    exponents = np.where(totals > 0, np.maximum(np.frexp(totals)[1] - _SUM_BITS, -1000), 0)
    integers = np.rint(np.ldexp(values.astype(np.float64), -exponents[:, None, None]))
    for array in (points, values, steps := integers.astype(np.int32)):
        array.flags.writeable = False
    scales = np.ldexp(1.0, exponents).tolist()
    return [
        DistanceTable(quantiser, *of_one)
        for of_one in zip(points, values, steps, scales, strict=True)
    ]


def check_descriptor(quantiser: ProductQuantiser, shape: tuple[int, ...]) -> None:
    """See that a descriptor is of the shape that codes of a quantiser are searched by.

    Raises:
        SearchError: it is of another.
    """
    if shape != (quantiser.D,):
        raise SearchError(
            f"a query of shape {shape} does not fit codes of {quantiser.D} components: describe "
            "it with the archive's codec"
        )


def _squared_distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances over the last axis, added in order in float64: the same everywhere."""
    squares = np.square(a.astype(np.float64) - b)
    total = squares[..., 0]
    for j in range(1, squares.shape[-1]):
        total = total + squares[..., j]
    with np.errstate(over="ignore"):
        return total.astype(np.float32)
