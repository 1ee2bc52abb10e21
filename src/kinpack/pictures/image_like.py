"""What people have in place of an image, made an image: the one place where that is done."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import PIL.Image

from kinpack.errors import ImageError
from kinpack.pictures.images import Image, load_image, validate_image

ImageLike: TypeAlias = Image | PIL.Image.Image | str | os.PathLike[str] | bytes
"""What an image is made of: an array, a Pillow image, the path of a picture file or its bytes."""


def as_image(given: ImageLike, where: str) -> Image:
    """Make an image of what people have.

    Args:
        given: uint8 (H, W) or (H, W, C), C = 1, 3 or 4; a Pillow image; the path of a picture file,
            or its bytes.
        where: what error messages call it; a path names itself.

    Returns:
        The image, uint8 (H, W, C), C-contiguous; a view of an array where it can be.

    Raises:
        ImageError: it is no image; the message says what makes one of it.
    """
    if isinstance(given, (str, os.PathLike)):
        return load_image(given)
    if isinstance(given, (bytes, PIL.Image.Image)):
        return load_image(given, where=where)
    return validate_image(given, where)


def as_images(given: Iterable[ImageLike], what: str = "image") -> list[Image]:
    """Make a list of images, each as ``as_image`` does.

    Args:
        given: several images; an array (N, H, W, C), or (N, H, W) with W > 4, holds N of them.
        what: what error messages call one of them, before its number.

    Raises:
        ImageError: one of them is no image, or this is a single one.
    """
    if isinstance(given, np.ndarray):
        several = given.ndim not in (0, 2) and (given.ndim != 3 or given.shape[2] > 4)
    else:
        single = isinstance(given, (str, os.PathLike, bytes, PIL.Image.Image))
        several = isinstance(given, Iterable) and not single
    if not several:
        kind = type(given).__name__
        raise ImageError(f"one {kind} in place of several images; give a list: [image]")
    return [as_image(image, f"{what} {i}") for i, image in enumerate(given)]
