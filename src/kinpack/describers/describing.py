"""Describing: pictures to vectors and product codes, whatever it is that describes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.product_code import ProductQuantiser
from kinpack.pictures.images import Image


class Describes(Protocol):
    """What turns pictures into vectors, and has the books that quantise them."""

    @property
    def quantiser(self) -> ProductQuantiser:
        """The books of the product code."""

    def describe(
        self, images: Sequence[Image], *, threads: int | None = None
    ) -> NDArray[np.float32]:
        """Describe images by vectors.

        Args:
            images: n images, uint8 (H, W, C) each, of any sizes.
            threads: most that work at a time; the vectors are the same.

        Returns:
            float32 (n, D); row i describes ``images[i]``.

        Raises:
            CodecError: a network does not run, or gives something else.
        """


def product_codes(
    describer: Describes, images: Sequence[Image], *, threads: int | None = None
) -> NDArray[np.uint8]:
    """Product codes of images.

    Args:
        describer: what describes them: a describer or a codec.
        images: n images, uint8 (H, W, C) each, of any sizes.
        threads: most that work at a time.

    Returns:
        uint8 (n, M); entry (i, m) is the word of book m for image i.

    Raises:
        CodecError: a network does not run, or gives something else.
    """
    return describer.quantiser.encode(describer.describe(images, threads=threads))


def packed_codes(
    describer: Describes, images: Sequence[Image], *, threads: int | None = None
) -> list[bytes]:
    """Product codes of images as an archive stores them; the arguments of ``product_codes``.

    Returns:
        ``describer.quantiser.code_bytes`` bytes for each image.

    Raises:
        CodecError: a network does not run, or gives something else.
    """
    codes = product_codes(describer, images, threads=threads)
    return [code.tobytes() for code in describer.quantiser.pack(codes)]
