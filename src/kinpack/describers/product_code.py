"""The product code: M sub-indices of K words each, packed into few bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import CodecError

_CHUNK = 1 << 20
"""Numbers in the largest temporary array: distances of some vectors to all words of one book."""


@dataclass(frozen=True, eq=False)
class ProductQuantiser:
    """M codebooks of K words each; every book quantises its own d consecutive components.

    A vector of D = M·d components becomes M sub-indices; sub-index m names the nearest word of
    book m for components m·d to (m + 1)·d − 1.

    Attributes:
        codebooks: float32 (M, K, d); ``codebooks[m, k]`` is word k of book m. 1 ≤ K ≤ 256.
        M: number of books.
        K: number of words in each book.
        D: number of components of a vector.
        code_bytes: of one packed code: half a byte for each book where K ≤ 16, else one.

    Raises:
        CodecError: the codebooks are not finite numbers of that shape.
    """

    codebooks: NDArray[np.float32]
    M: int = field(init=False)
    K: int = field(init=False)
    D: int = field(init=False)
    code_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        books = np.array(self.codebooks, dtype=np.float32, order="C")
        if books.ndim != 3 or 0 in books.shape:
            raise CodecError(f"codebooks have shape (M, K, d), not {books.shape}: learn them again")
        M, K, d = books.shape
        if K > 256:
            raise CodecError(f"a book of K = {K} words cannot be indexed: K goes from 1 to 256")
        if not np.isfinite(books).all():
            raise CodecError("codebooks hold numbers that are not finite: learn them again")
        books.flags.writeable = False
        code_bytes = (M + 1) // 2 if K <= 16 else M
        for name, value in {"M": M, "K": K, "D": M * d, "code_bytes": code_bytes}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "codebooks", books)

    @property
    def telling(self) -> NDArray[np.bool_]:
        """Which components, (D,), tell codes apart: those of books whose words differ."""
        of_books: NDArray[np.bool_] = self.codebooks.std(axis=1).any(axis=1)
        return of_books.repeat(self.D // self.M)

    def checked(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Give vectors (n, D) as float32.

        Raises:
            CodecError: ``x`` has another shape or holds numbers that are not finite.
        """
        x = as_vectors(x)
        if x.shape[1] != self.D:
            raise CodecError(
                f"vectors of {x.shape[1]} components do not fit this code of {self.D}: "
                "use the descriptors of the same codec"
            )
        return x

    def encode(self, x: NDArray[Any]) -> NDArray[np.uint8]:
        """Name the nearest word of every book; the lowest index wins a tie.

        Args:
            x: (n, D) vectors.

        Returns:
            uint8 (n, M); entry [i, m] is the sub-index of vector i in book m, 0 to K − 1.

        Raises:
            CodecError: ``x`` has another shape or holds numbers that are not finite.
        """
        x = self.checked(x)
        d = self.codebooks.shape[2]
        indices = np.empty((len(x), self.M), np.uint8)
        for m, words in enumerate(self.codebooks):
            indices[:, m] = nearest_words(x[:, m * d : (m + 1) * d], words)[0]
        return indices

    def decode(self, indices: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give the vectors that sub-indices stand for, z_q.

        Args:
            indices: uint8 (n, M), each below K.

        Returns:
            float32 (n, D).

        Raises:
            CodecError: the shape is another, or a sub-index is not below K.
        """
        self._check(indices)
        return self.codebooks[np.arange(self.M), indices].reshape(len(indices), self.D)

    def pack(self, indices: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pack sub-indices into bytes.

        Args:
            indices: uint8 (n, M), each below K.

        Returns:
            uint8 (n, ⌈M/2⌉) where K ≤ 16: byte j holds sub-index 2j in its low four bits and
            sub-index 2j + 1 (0 where there is none) in its high four. Else uint8 (n, M), one
            sub-index a byte.

        Raises:
            CodecError: the shape is another, or a sub-index is not below K.
        """
        self._check(indices)
        if self.K > 16:
            return np.ascontiguousarray(indices)
        packed = indices[:, 0::2].copy()
        packed[:, : self.M // 2] |= indices[:, 1::2] << 4
        return packed

    def unpack(self, packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Undo ``pack``.

        Args:
            packed: uint8 (n, code_bytes) as ``pack`` gives them.

        Returns:
            uint8 (n, M), each below K.

        Raises:
            CodecError: the width is not that of M sub-indices, or a sub-index is not below K.
        """
        if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != self.code_bytes:
            raise CodecError(
                f"packed codes of shape {packed.shape} and type {packed.dtype} given: M = {self.M} "
                f"sub-indices of K = {self.K} take {self.code_bytes} bytes each"
            )
        if self.K > 16:
            indices = packed.copy()
        else:
            indices = np.empty((len(packed), 2 * packed.shape[1]), np.uint8)
            indices[:, 0::2] = packed & 15
            indices[:, 1::2] = packed >> 4
            if indices[:, self.M :].any():
                raise CodecError("a packed code's last half byte must be 0: the code is damaged")
            indices = np.ascontiguousarray(indices[:, : self.M])
        self._check(indices)
        return indices

    def _check(self, indices: NDArray[np.uint8]) -> None:
        if indices.dtype != np.uint8 or indices.ndim != 2 or indices.shape[1] != self.M:
            raise CodecError(
                f"sub-indices are uint8 of shape (n, {self.M}), not {indices.dtype} of "
                f"{indices.shape}"
            )
        if indices.size and int(indices.max()) >= self.K:
            raise CodecError(
                f"a sub-index of {indices.max()} names no word of a book of {self.K}: the code is "
                "damaged"
            )


def as_vectors(x: NDArray[Any]) -> NDArray[np.float32]:
    """Give vectors (n, D) as float32.

    Raises:
        CodecError: ``x`` has another shape, or holds numbers that are not finite.
    """
    x = np.asarray(x, dtype=np.float32)
    if x.ndim != 2:
        raise CodecError(f"vectors have shape (n, D), not {x.shape}")
    if not np.isfinite(x).all():
        raise CodecError("vectors hold numbers that are not finite: check the images they are of")
    return x


def nearest_words(
    x: NDArray[np.float32], words: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Find the nearest word to each vector, the lowest of several.

    Differences are squared and added component by component, not through a matrix product: each
    step is one rounding of its own, so a vector gets the same index on every machine and in every
    batch.

    Args:
        x: (n, d) vectors.
        words: (K, d).

    Returns:
        (n,) numbers of words, and (n,) squared distances from them.
    """
    nearest = np.empty(len(x), np.intp)
    distance = np.empty(len(x), np.float32)
    step = max(1, _CHUNK // len(words))
    for start in range(0, len(x), step):
        part = x[start : start + step]
        total = np.zeros((len(part), len(words)), np.float32)
        for j in range(x.shape[1]):
            difference = part[:, j, None] - words[None, :, j]
            difference *= difference
            total += difference
        index = total.argmin(axis=1)
        nearest[start : start + step] = index
        distance[start : start + step] = np.take_along_axis(total, index[:, None], axis=1)[:, 0]
    return nearest, distance
