"""Vectors of images that a model made elsewhere: read from a file, nothing executed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import SourceError, shown

MOST_NUMBERS = 1 << 31
"""Most numbers that a file of vectors may hold."""
_KINDS = ".npy, .npz or .parquet"


def read_vectors(file: Path, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Read vectors of images.

    Args:
        file: ``.npy``, a vector a row, in the order of ``ids``; ``.npz`` with the arrays ``ids``
            and ``vectors``; or ``.parquet`` with the columns ``id`` and ``vector``, of numbers.
        ids: of the archive's images, in order.

    Returns:
        float32 (E,) of each image, by its id.

    Raises:
        SourceError: the file cannot be read, or holds something else.
    """
    readers = {".npy": _of_npy, ".npz": _of_npz, ".parquet": _of_parquet}
    read = readers.get(file.suffix.lower())
    if read is None:
        raise SourceError(f"{shown(file)}: vectors are read from {_KINDS} files; name one")
    try:
        names, vectors = read(file, ids)
        numbers = np.asarray(vectors, dtype=np.float32)
    except SourceError:
        raise
    except (OSError, ValueError, KeyError, TypeError, OverflowError, EOFError) as error:
        raise SourceError(f"{shown(file)}: its vectors cannot be read ({error})") from error
    if numbers.ndim != 2 or not numbers.shape[1] or len(names) != len(numbers):
        raise SourceError(
            f"{shown(file)}: it holds {len(names)} ids and an array of shape {numbers.shape}; give "
            "a vector, of one length, for each image"
        )
    if len(set(names)) < len(names):
        raise SourceError(f"{shown(file)}: an id comes twice; give each image one vector")
    return dict(zip(names, numbers, strict=True))


def read_vector(file: Path) -> NDArray[np.float32]:
    """Read one vector, of a ``.npy`` file with an array of shape (E,) or (1, E).

    Raises:
        SourceError: the file cannot be read, or holds something else.
    """
    try:
        numbers = np.load(file, mmap_mode="r", allow_pickle=False)
        if not isinstance(numbers, np.ndarray) or numbers.size > MOST_NUMBERS:
            raise SourceError(f"{shown(file)}: a vector is read from a .npy file; name one")
        vector: NDArray[np.float32] = np.asarray(numbers, dtype=np.float32)
    except (OSError, ValueError, TypeError, OverflowError, EOFError) as error:
        raise SourceError(f"{shown(file)}: no vector can be read of it ({error})") from error
    if vector.ndim == 2 and len(vector) == 1:
        vector = vector.reshape(-1)
    if vector.ndim != 1:
        raise SourceError(f"{shown(file)}: an array of shape {vector.shape} is no single vector")
    return vector


def _of_npy(file: Path, ids: Sequence[str]) -> tuple[Sequence[str], Any]:
    vectors = np.load(file, mmap_mode="r", allow_pickle=False)
    if isinstance(vectors, np.ndarray) and vectors.size > MOST_NUMBERS:
        raise SourceError(f"{shown(file)}: it holds more than {MOST_NUMBERS:,} numbers")
    if len(vectors) != len(ids):
        raise SourceError(
            f"{shown(file)}: it holds {len(vectors):,} vectors, the archive {len(ids):,} images; "
            "give one for each, in the order of kinpack ls, or name the ids in an .npz file"
        )
    return ids, vectors


def _of_npz(file: Path, ids: Sequence[str]) -> tuple[Sequence[str], Any]:
    del ids
    with np.load(file, allow_pickle=False) as arrays:
        return [str(name) for name in arrays["ids"]], arrays["vectors"]


def _of_parquet(file: Path, ids: Sequence[str]) -> tuple[Sequence[str], Any]:
    del ids
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file, columns=["id", "vector"], use_threads=False)
    except pa.ArrowException as error:
        raise SourceError(f"{shown(file)}: its vectors cannot be read ({error})") from error
    return [str(name) for name in table["id"].to_pylist()], table["vector"].to_pylist()
