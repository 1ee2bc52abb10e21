"""Added ids: what one addition has taken and where each image is, without keeping their names."""

from __future__ import annotations

import secrets
import sys
from hashlib import blake2b

import numpy as np

from kinpack.archive.revisions.hash_index import HashIndex

_RECENT = 4096
"""Ids that are kept in a dictionary, before they go into the index together."""


class AddedIds:
    """The ids of an addition, and the row of each among all rows that it has stored.

    Of an id that is stored a BLAKE2b digest of 16 bytes under a secret key is kept, and a row: less
    than 30 bytes in all, where a dictionary takes 130. Two ids of a thousand million have the same
    digest with a chance of 10⁻²¹, and nobody can look for such a pair without the key. Ids that are
    announced are kept themselves until they are stored, as many as are loaded ahead.
    """

    def __init__(self) -> None:
        self.rows = 0
        """Rows stored so far; the next row's number."""
        self._key = secrets.token_bytes(32)
        self._coming: set[str] = set()
        self._recent: dict[bytes, int] = {}
        self._digests = bytearray()  # of all rows: the half that the index does not have
        self._new = bytearray()  # of the rows after those of the index: the other half
        self._index = HashIndex()

    def __contains__(self, name: str) -> bool:
        return name in self._coming or self._find(self._digest(name)) is not None

    def announce(self, name: str) -> None:
        """Note an id whose image is to be stored, or turns out to be broken."""
        self._coming.add(name)

    def store(self, name: str) -> int | None:
        """Give the next row to an id.

        Args:
            name: the id.

        Returns:
            The row that it had before, ``None`` if it had none.
        """
        self._coming.discard(name)
        digest = self._digest(name)
        earlier = self._find(digest)
        self._recent[digest] = self.rows
        self._new += digest[:8]
        self._digests += digest[8:]
        self.rows += 1
        if len(self._new) >= 8 * _RECENT:
            self._index = self._index.extended(np.frombuffer(bytes(self._new), np.int64))
            self._recent, self._new = {}, bytearray()
        return earlier

    def _digest(self, name: str) -> bytes:
        text = name.encode("utf-8", "surrogatepass")
        return blake2b(text, digest_size=16, key=self._key).digest()

    def _find(self, digest: bytes) -> int | None:
        """The newest row of a digest."""
        if digest in self._recent:
            return self._recent[digest]
        half = int.from_bytes(digest[:8], sys.byteorder, signed=True)
        same = (
            row
            for row in (self._index.numbers(half) if len(self._index) else ())
            if self._digests[8 * row : 8 * row + 8] == digest[8:]
        )
        return next(same, None)
