"""Books of a collection's own: a describer whose codes are learned anew of what it describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.describer import Describer
from kinpack.describers.given_vectors import principal_components
from kinpack.describers.product_books import learn_books
from kinpack.errors import CodecError
from kinpack.networks.container import DESCRIBER_FILE, Container

LEAST = 256
"""Pictures that a collection must have at least: as many as a book may have words."""


def with_own_books(
    describer: Describer, latents: NDArray[np.float32], *, name: str, note: str
) -> Describer:
    """Make a describer with the same network, and with directions and books of a collection's own.

    The books that make the distance are learned anew; those that weigh nothing stay, and so do the
    numbers of books and words. Its longer codes are learned anew as well; it has no decoder, which
    knew the former words.

    Args:
        describer: to begin with.
        latents: (n, E), of pictures of the collection.
        name: of the new describer.
        note: what to keep of how it was made.

    Raises:
        CodecError: there are too few pictures.
    """
    if len(latents) < LEAST:
        raise CodecError(
            f"{len(latents)} pictures are too few to learn a code of their own: {LEAST} are needed"
        )
    kept = describer.container
    arrays = {name: one for name, one in kept.arrays.items() if not name.startswith("fine_")}
    books = describer.quantiser.codebooks
    arrays |= _learned(latents, books, describer.weights > 0, kept.arrays, "")
    if (fine := kept.arrays.get("fine_codebooks")) is not None:
        all_weigh = np.ones(len(fine), np.bool_)
        arrays |= _learned(latents, fine.astype(np.float32), all_weigh, kept.arrays, "fine_")
    header = {
        key: value
        for key, value in kept.header.items()
        if key not in ("data", "command", "minutes", "steps", "seed")
    }
    blobs = {key: blob for key, blob in kept.blobs.items() if key != "decoder"}
    header |= {"name": name, "note": note}
    return Describer.from_container(Container(header, blobs, arrays, kind=DESCRIBER_FILE))


def _learned(
    latents: NDArray[np.float32],
    books: NDArray[np.float32],
    weighing: NDArray[np.bool_],
    arrays: Mapping[str, NDArray[Any]],
    prefix: str,
) -> dict[str, NDArray[np.float32]]:
    """Mean, projection and books; of books that weigh nothing those that were there."""
    M, K, d = books.shape
    E, count = latents.shape[1], int(weighing.sum())
    mean = arrays.get(f"{prefix}mean", np.zeros(E, np.float32)).copy()
    former = arrays.get(f"{prefix}projection", np.eye(E, M * d, dtype=np.float32))
    seen = (former[:, np.repeat(weighing, d)] != 0).any(axis=1)
    mean[seen], own = principal_components(latents[:, seen], count)
    learned = learn_books((latents - mean)[:, seen] @ own, M=count, K=K).codebooks
    width = learned.shape[2]
    if width != d and count < M:
        raise CodecError("the books of this describer do not fit its latents; learn it anew")
    columns = np.repeat(weighing, width)
    projection = np.zeros((E, M * width), np.float32)
    projection[np.ix_(seen, columns)] = own
    codebooks = np.empty((M, K, width), np.float32)
    codebooks[weighing] = learned
    if count < M:
        projection[:, ~columns], codebooks[~weighing] = former[:, ~columns], books[~weighing]
    return {
        f"{prefix}mean": mean,
        f"{prefix}projection": projection,
        f"{prefix}codebooks": codebooks,
    }
