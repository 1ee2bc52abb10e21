"""Cells: codes laid out by a coarse quantiser, so that near ones are found without a whole scan."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser

EXACT = 1 << 14
"""Codes up to which there is one cell, and nothing is missed."""
PROBES = 64
"""Cells that are looked through for each: its own, and those whose centres are nearest to its."""

_SAMPLE = 40  # codes a cell from which its centre is learned
_ROUNDS = 8  # of k-means
_NUMBERS = 1 << 22  # in the largest table of distances


class Near(NamedTuple):
    """What lies near to some vectors.

    Attributes:
        queries: int64 (p,), numbers of the vectors.
        rows: int64 (p,), of the codes.
        distances: float32 (p,), squared.
    """

    queries: NDArray[np.int64]
    rows: NDArray[np.int64]
    distances: NDArray[np.float32]


class Cells:
    """Packed codes, in the order of the cells of a coarse quantiser.

    The coarse quantiser is learned by k-means from some of the codes. Beyond the codes themselves
    it takes eight bytes a code.

    Args:
        packed: uint8 (n, bytes).
        quantiser: their books; a book whose words are all the same counts for nothing.
        seed: of the random choices.
        cells: how many; by default one for `EXACT` codes, and else four times the root of n.

    Attributes:
        order: int64 (n,), the codes, those of a cell together: many are looked for fastest in this
            order, since those around a cell are made ready once.
    """

    def __init__(
        self,
        packed: NDArray[np.uint8],
        quantiser: ProductQuantiser,
        *,
        seed: int = 0,
        cells: int | None = None,
    ) -> None:
        self._packed, self._quantiser = packed, quantiser
        self._telling = quantiser.telling
        n = len(packed)
        if cells is None:
            cells = 1 if n <= EXACT else 1 << round(np.log2(4 * np.sqrt(n)))
        self._centres = self._learned(min(cells, n), np.random.default_rng(seed))
        homes = self._homes_of_codes()
        self.order = np.argsort(homes, kind="stable")
        counts = np.bincount(homes, minlength=len(self._centres))
        self._starts = np.concatenate([np.zeros(1, np.int64), counts.cumsum()])

    def __len__(self) -> int:
        return len(self._packed)

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self._centres)

    def vectors(self, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """What some codes stand for, float32 (m, E), without what tells nothing."""
        return self.telling(self._quantiser.decode(self._quantiser.unpack(self._packed[rows])))

    def telling(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The components, (m, E), of vectors (m, D) by which codes are told apart."""
        return np.ascontiguousarray(vectors[:, self._telling])

    def near(
        self,
        vectors: NDArray[np.float32],
        within: float,
        *,
        most: int,
        probes: int = PROBES,
    ) -> Near:
        """Find the codes near to vectors.

        Args:
            vectors: float32 (m, E), as ``telling`` gives them.
            within: largest squared distance.
            most: codes that are found for a vector at most, the nearest; of equally near ones those
                that come first.
            probes: cells that are looked through; all of them make it exact.

        Returns:
            What was found, by the number of the vector.
        """
        everywhere = probes >= self.cells  # then one place is as good as another
        homes = np.zeros(len(vectors), np.int64) if everywhere else self._homes(vectors)
        order = np.argsort(homes, kind="stable")
        found: list[tuple[NDArray[Any], ...]] = []
        for some in np.split(order, np.flatnonzero(np.diff(homes[order])) + 1):
            if not len(some):
                continue
            rows = self._around(int(homes[some[0]]), probes)
            there = self.vectors(rows)
            step = max(1, _NUMBERS // max(1, len(rows)))
            for at in range(0, len(some), step):
                part = some[at : at + step]
                which, place, far = _nearest(vectors[part], there, within, most)
                found.append((part[which], rows[place], far))
        if not found:
            return Near(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        queries, rows, far = (np.concatenate(column) for column in zip(*found, strict=True))
        by_query = np.lexsort((rows, far, queries))
        return Near(queries[by_query], rows[by_query], far[by_query].astype(np.float32))

    def _around(self, cell: int, probes: int) -> NDArray[np.int64]:
        """The codes of a cell and of those around it, ascending."""
        if probes >= self.cells:
            return np.arange(len(self))
        far = _squares(self._centres[cell][None], self._centres)[0]
        cells = np.argpartition(far, probes - 1)[:probes]
        return np.sort(
            np.concatenate([self.order[self._starts[one] : self._starts[one + 1]] for one in cells])
        )

    def _learned(self, cells: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Centres by k-means."""
        chosen = rng.permutation(len(self._packed))[: _SAMPLE * cells]
        sample = self.vectors(np.sort(chosen))
        centres = sample[np.sort(rng.permutation(len(sample))[:cells])]
        if cells < 2:
            return centres
        for _ in range(_ROUNDS):
            homes = _homes(sample, centres)
            counts = np.bincount(homes, minlength=len(centres))
            sums = np.stack(
                [np.bincount(homes, column, len(centres)) for column in sample.T], axis=1
            )
            kept = counts > 0
            centres = (sums[kept] / counts[kept][:, None]).astype(np.float32)
        return centres

    def _homes(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        return _homes(vectors, self._centres)

    def _homes_of_codes(self) -> NDArray[np.int64]:
        step = 1 << 16
        parts = range(0, len(self), step)
        found = [self._homes(self.vectors(slice(at, at + step))) for at in parts]
        return np.concatenate([np.zeros(0, np.int64), *found])


def _homes(vectors: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """The nearest centre to each vector."""
    if len(centres) < 2:
        return np.zeros(len(vectors), np.int64)
    step = max(1, _NUMBERS // len(centres))
    parts = range(0, len(vectors), step)
    found = [_squares(vectors[at : at + step], centres).argmin(axis=1) for at in parts]
    return np.concatenate([np.zeros(0, np.int64), *found])


def _squares(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances, (n, m), by a matrix product: right to float32 rounding."""
    far = a @ b.T
    far *= -2
    far += np.einsum("ij,ij->i", b, b)
    far += np.einsum("ij,ij->i", a, a)[:, None]
    return far


def _nearest(
    vectors: NDArray[np.float32], there: NDArray[np.float32], within: float, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Numbers of vectors, of what lies within reach of them, and squared distances."""
    far = _squares(vectors, there)
    rounding = 1e-4 * (1 + within)
    which, place = np.nonzero(far <= within + rounding)
    crowded = np.flatnonzero(np.bincount(which, minlength=len(vectors)) > 4 * most)
    if len(crowded):  # many share a code: enough of them, and ties in their order
        kept = ~np.isin(which, crowded)
        nearest = np.argsort(far[crowded], axis=1, kind="stable")[:, : 4 * most]
        which = np.concatenate([which[kept], crowded.repeat(nearest.shape[1])])
        place = np.concatenate([place[kept], nearest.ravel()])
    exact = np.square(vectors[which].astype(np.float64) - there[place]).sum(axis=1)
    order = np.lexsort((place, exact, which))
    which, place, exact = which[order], place[order], exact[order]
    rank = np.arange(len(which)) - np.searchsorted(which, which)
    kept = (exact <= within) & (rank < most)
    return which[kept], place[kept], exact[kept].astype(np.float32)
