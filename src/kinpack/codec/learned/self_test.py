"""Test packets of a codec file: what they must decode to, told by a hash, on any machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.learned.learned import MAX_SIDE, LearnedCoder, Picture
from kinpack.errors import CodecError, KinpackError

MOST_PIXELS = 1 << 16
"""Most pixels of all test packets together: they are decoded whenever a codec is first used."""

SIZES = ((32, 32), (9, 17), (40, 24), (1, 1))
"""(height, width) of the test pictures that `make_test` draws."""
QUALITIES = (60, 30, 90, 50)


@dataclass(frozen=True)
class SelfTest:
    """Payloads, and the SHA-256 of the pixels that they decode to.

    Attributes:
        payloads: learned payloads.
        codes: uint8 (n, M) sub-indices of each.
        sizes: (height, width) of each.
        qualities: of each.
        sha256: of the pixels, one picture after the other in rows, in hexadecimal.
    """

    payloads: tuple[bytes, ...]
    codes: NDArray[np.uint8]
    sizes: tuple[tuple[int, int], ...]
    qualities: tuple[int, ...]
    sha256: str

    def failure(self, coder: LearnedCoder) -> KinpackError | None:
        """What is wrong with a coder; None if it gives these pixels."""
        try:
            pictures = coder.decode(
                self.payloads, self.codes, sizes=self.sizes, quality=self.qualities
            )
        except KinpackError as error:
            return error
        if _sha256(pictures) == self.sha256:
            return None
        return CodecError(
            "the codec does not decode its own test packets to what it says: the file is faulty; "
            "make it anew"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what a codec file's header keeps of it."""
        return {
            "payloads": [payload.hex() for payload in self.payloads],
            "codes": self.codes.tolist(),
            "sizes": [list(size) for size in self.sizes],
            "qualities": list(self.qualities),
            "sha256": self.sha256,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, M: int, K: int) -> Self:
        """Build from ``to_dict``'s values.

        Args:
            values: as the header holds them.
            M: books of the codec's product code.
            K: words of each.

        Raises:
            CodecError: the values do not fit together.
        """
        try:
            made = cls(
                payloads=tuple(bytes.fromhex(payload) for payload in values["payloads"]),
                codes=np.array(values["codes"], dtype=np.uint8).reshape(-1, M),
                sizes=tuple((int(h), int(w)) for h, w in values["sizes"]),
                qualities=tuple(int(q) for q in values["qualities"]),
                sha256=str(values["sha256"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CodecError(
                f"the codec's test packets are unreadable ({error}); make it anew"
            ) from error
        n = len(made.payloads)
        if not (
            n
            and len(made.codes) == len(made.sizes) == len(made.qualities) == n
            and int(made.codes.max()) < K
            and all(1 <= q <= 99 for q in made.qualities)
            and all(0 < side <= MAX_SIDE for size in made.sizes for side in size)
            and sum(h * w for h, w in made.sizes) <= MOST_PIXELS
        ):
            raise CodecError("the codec's test packets are out of range; make it anew")
        return made


def make_test(coder: LearnedCoder, *, M: int, K: int) -> SelfTest:
    """Test packets of a coder, of synthetic pictures.

    Args:
        coder: that encodes and decodes them.
        M: books of the product code.
        K: words of each.
    """
    rng = np.random.default_rng(0)
    codes = rng.integers(K, size=(len(SIZES), M)).astype(np.uint8)
    pictures = [_picture(h, w, rng) for h, w in SIZES]
    payloads, drawn = coder.encode(pictures, codes, quality=QUALITIES)
    return SelfTest(tuple(payloads), codes, SIZES, QUALITIES, _sha256(drawn))


def _picture(height: int, width: int, rng: np.random.Generator) -> Picture:
    """Waves, an edge and noise."""
    y, x = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    waves = 90 * np.cos(x * rng.uniform(0.1, 0.6, 3) + y * rng.uniform(0.1, 0.6, 3))
    edge = 70 * ((x - width / 2) * rng.normal() > (y - height / 2) * rng.normal())
    levels = 110 + waves + edge + rng.normal(0, 12, (height, width, 3))
    picture: Picture = levels.clip(0, 255).astype(np.uint8)
    return picture


def _sha256(pictures: Sequence[Picture]) -> str:
    hashed = hashlib.sha256()
    for picture in pictures:
        hashed.update(np.ascontiguousarray(picture).tobytes())
    return hashed.hexdigest()
