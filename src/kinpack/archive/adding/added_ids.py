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
        return name in self._coming or self._find(name)[1] is not None

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
        digest, earlier = self._find(name)
        self._recent[digest] = self.rows
        self._new += digest[:8]
        self._digests += digest[8:]
        self.rows += 1
        if len(self._new) >= 8 * _RECENT:
            self._index = self._index.extended(np.frombuffer(bytes(self._new), np.int64))
            self._recent, self._new = {}, bytearray()
        return earlier

    def _find(self, name: str) -> tuple[bytes, int | None]:
        """The digest of an id, and its newest row."""
        text = name.encode("utf-8", "surrogatepass")
        digest = blake2b(text, digest_size=16, key=self._key).digest()
        if digest in self._recent:
            return digest, self._recent[digest]
        rows = self._index.numbers(int.from_bytes(digest[:8], sys.byteorder, signed=True))
        other = digest[8:]
        same = (row for row in rows if self._digests[8 * row : 8 * row + 8] == other)
        return digest, next(same, None)
