"""Taken ids: what one addition has taken and where each image is, without keeping their names."""

from __future__ import annotations

import secrets
from array import array
from hashlib import blake2b

import numpy as np

_DIGEST = 16
_FULL = 128
"""Mean number of digests in a bucket at which there are twice as many buckets."""


class Taken:
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
        self._stored = 0
        self._digests = [bytearray()]
        self._rows = [array("Q")]

    def __contains__(self, name: str) -> bool:
        return name in self._coming or self._find(self._digest(name))[1] >= 0

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
        row = self.rows
        self.rows += 1
        digest = self._digest(name)
        bucket, at = self._find(digest)
        if at >= 0:
            earlier = self._rows[bucket][at]
            self._rows[bucket][at] = row
            return earlier
        self._digests[bucket] += digest
        self._rows[bucket].append(row)
        self._stored += 1
        if self._stored > _FULL * len(self._digests):
            self._split()
        return None

    def _digest(self, name: str) -> bytes:
        text = name.encode("utf-8", "surrogatepass")
        return blake2b(text, digest_size=_DIGEST, key=self._key).digest()

    def _find(self, digest: bytes) -> tuple[int, int]:
        """The bucket of a digest and its place there, −1 if it is not there."""
        bucket = int.from_bytes(digest[:4], "little") & (len(self._digests) - 1)
        digests = self._digests[bucket]
        at = digests.find(digest)
        while at % _DIGEST and at >= 0:  # across two others
            at = digests.find(digest, at + 1)
        return bucket, at // _DIGEST

    def _split(self) -> None:
        """Make twice as many buckets: one more bit of each digest tells in which it is."""
        count = len(self._digests)
        for bucket in range(count):
            digests = np.frombuffer(self._digests[bucket], np.uint8).reshape(-1, _DIGEST)
            rows = np.frombuffer(self._rows[bucket], np.uint64)
            low = np.ascontiguousarray(digests[:, :4]).view("<u4")[:, 0]
            moves = (low & count) > 0
            kept, moved = (digests[part].tobytes() for part in (~moves, moves))
            kept_rows, moved_rows = (rows[part].tobytes() for part in (~moves, moves))
            self._digests[bucket], self._rows[bucket] = bytearray(kept), array("Q", kept_rows)
            self._digests.append(bytearray(moved))
            self._rows.append(array("Q", moved_rows))
