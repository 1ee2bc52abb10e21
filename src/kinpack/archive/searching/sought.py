"""Examples of a query among the codes of one column: how far each image lies from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.searching.searched import Rows
from kinpack.errors import NotFoundError
from kinpack.search.distances.distance import DistanceTable, asymmetric_table, symmetric_table
from kinpack.search.distances.poses import Poses
from kinpack.search.hit import Mode
from kinpack.search.query import Example, Query

if TYPE_CHECKING:
    from kinpack.describers.describer import Describer

UNLIKED = 0.25
"""How much it counts that an image is nearer to an unliked example than strangers lie apart."""


@dataclass(frozen=True, eq=False)
class Sought:
    """What is liked and what is not, as it is compared with the codes of one column.

    Attributes:
        liked: one or more.
        unliked: none or more.
        apart: what strangers lie apart by these codes; beyond it nothing counts as near to what is
            not liked.
    """

    liked: tuple[Poses, ...]
    unliked: tuple[Poses, ...] = ()
    apart: float = 1.0

    @property
    def single(self) -> Poses | None:
        """The one example, ``None`` where there are several."""
        return self.liked[0] if len(self.liked) == 1 and not self.unliked else None

    def joined(
        self, liked: Sequence[NDArray[np.float64]], unliked: Sequence[NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """The distances of images from all examples together.

        The mean over the liked ones; and, for each unliked one, as much as the image is nearer to
        it than strangers lie apart, of which the mean counts `UNLIKED` times.

        Args:
            liked: float64 (n,) for each liked example.
            unliked: likewise.

        Returns:
            float64 (n,), 0 or more.
        """
        total = sum(liked[1:], liked[0]) / len(liked) if len(liked) > 1 else liked[0]
        if unliked:
            near = [np.maximum(0, self.apart - one) for one in unliked]
            total = total + UNLIKED * (sum(near[1:], near[0]) / len(near))
        return total

    def of_codes(self, indices: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The distances (n,) of codes, uint8 (n, M) sub-indices."""
        return self.joined(
            [one.of_codes(indices) for one in self.liked],
            [one.of_codes(indices) for one in self.unliked],
        )

    @classmethod
    def of(cls, query: Query, column: str, describer: Describer, rows: Rows) -> Self:
        """The examples of a query, or its vector, described; ``apart`` is left as it is.

        Args:
            query: not by words.
            column: name of the codes.
            describer: what made them.
            rows: the revision.

        Raises:
            NotFoundError: an id is not there, or has no such code.
            SearchError: a vector is of another size.
            CodecError: the describer describes no pictures.
        """
        if query.vector is not None:
            vectors = describer.projected(np.asarray(query.vector, np.float32)[None])
            return cls((_poses(vectors, query.mode, describer),))

        def poses(example: Example) -> Poses:
            if isinstance(example, str):
                code = code_of(example, column, describer, rows)
                return Poses((symmetric_table(describer.searched, code),))
            return _poses(describer.describe(describer.poses(example)), query.mode, describer)

        return cls(tuple(map(poses, query.liked)), tuple(map(poses, query.unliked)))


def _poses(vectors: NDArray[np.float32], mode: Mode, describer: Describer) -> Poses:
    """The poses of one example, of their vectors (poses, D)."""
    tables: list[DistanceTable]
    if mode == "symmetric":
        codes = describer.quantiser.encode(vectors)
        tables = [symmetric_table(describer.searched, code) for code in codes]
    else:
        weighted = describer.weighted(vectors)
        tables = [asymmetric_table(describer.searched, one) for one in weighted]
    return Poses(tuple(tables))


def code_of(
    id: str,  # noqa: A002
    column: str,
    describer: Describer,
    rows: Rows,
) -> NDArray[np.uint8]:
    """The sub-indices, uint8 (M,), of an image's code.

    Args:
        id: of the image.
        column: name of the codes.
        describer: what made them.
        rows: the revision.

    Raises:
        NotFoundError: the id is not there, or has no such code.
    """
    if id not in rows and os.path.isfile(id):  # noqa: PTH113 (which never raises)
        raise NotFoundError(
            f"{rows.where}: it holds no image {id!r}, which is a file: search for its picture "
            f"with pathlib.Path({id!r})"
        )
    (packed,) = rows.codes_at(column, [rows.position(id)])
    if packed is None:
        raise NotFoundError(
            f"{rows.where}: image {id!r} has no code {column!r} yet; give it one with: kinpack "
            "embed"
        )
    code: NDArray[np.uint8] = describer.quantiser.unpack(np.frombuffer(packed, np.uint8)[None])[0]
    return code
