"""Queries: what is asked of an archive's codes, a picture or one of its images."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.describers.describing import Describes
from kinpack.errors import NotFoundError
from kinpack.pictures.images import Image
from kinpack.search.distances.distance import (
    DistanceTable,
    SearchError,
    asymmetric_table,
    symmetric_table,
)
from kinpack.search.hit import Mode


def distance_table(
    query: Image | str,
    mode: Mode,
    describer: Describes,
    packed: NDArray[np.uint8],
    snapshot: Snapshot,
    where: str,
) -> DistanceTable:
    """Make the table by which a query's distance from every code is summed.

    Args:
        query: uint8 (H, W, C), or the id of an image, whose stored code is taken.
        mode: whether the picture's own descriptor is compared, or its product code.
        describer: whose codes are searched.
        packed: those codes, uint8 (n, bytes).
        snapshot: the revision.
        where: what messages call the archive.

    Raises:
        NotFoundError: the id is not there.
        SearchError: there is no such mode.
    """
    quantiser = describer.quantiser
    if mode not in ("asymmetric", "symmetric"):
        raise SearchError(f"there is no mode {mode!r}: use asymmetric or symmetric")
    if isinstance(query, str):
        if query not in snapshot and os.path.isfile(query):  # noqa: PTH113 (which never raises)
            raise NotFoundError(
                f"{where}: it holds no image {query!r}, which is a file: search for its picture "
                f"with pathlib.Path({query!r})"
            )
        code = packed[snapshot.position(query)]
        return symmetric_table(quantiser, quantiser.unpack(code[None])[0])
    vectors = describer.describe([query])
    if mode == "symmetric":
        return symmetric_table(quantiser, quantiser.encode(vectors)[0])
    return asymmetric_table(quantiser, vectors[0])
