"""What codes take: the one that is searched, and the one that goes before a learned message."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.codec import Codec
from kinpack.pictures.images import Image

SEARCHED_BYTES = 8
"""Bytes of the code of an image in an archive that is searched, beside its payload."""


def side_codes(codec: Codec, images: Sequence[Image]) -> NDArray[np.uint8] | None:
    """Side codes (n, M) of images, ``None`` for a codec whose payloads have none."""
    side = codec.parts.side_code()
    return None if side is None else side.codes(images)
