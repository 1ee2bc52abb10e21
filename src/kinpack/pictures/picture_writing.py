"""Writing pictures: to files that appear whole or not at all, and to bytes."""

from __future__ import annotations

import io
import os
import uuid
from typing import Any, Literal, TypeAlias

import PIL.Image

from kinpack.arguments import path_of
from kinpack.errors import ImageError, see_memory, shown
from kinpack.pictures.images import Image, composite_on_white, to_pil, validate_image

Format: TypeAlias = Literal["png", "webp", "jpeg"]
"""A format that ``save_image`` writes."""

FORMAT_OF_SUFFIX: dict[str, Format] = {
    ".png": "png",
    ".webp": "webp",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
}
"""What a file is written as, by its ending in lower case."""
_OPTIONS: dict[Format, dict[str, Any]] = {
    "png": {},
    "webp": {"lossless": True, "exact": True},  # exact keeps the colour under alpha 0
    "jpeg": {"quality": 95, "subsampling": 0},
}
_WEBP_LONGEST_SIDE = 16383


def save_image(
    image: Image,
    path: str | os.PathLike[str],
    *,
    format: Format | None = None,  # noqa: A002 (the name that Pillow and the command line use)
) -> None:
    """Write an image as a file that appears whole or not at all.

    PNG and WebP are lossless (WebP has no grey: it is read back as RGB). JPEG is composited on
    white, of quality 95 without chroma subsampling.

    Args:
        image: uint8 (H, W, C).
        path: where to write; an existing file is replaced. The folder must exist.
        format: ``png``, ``webp`` or ``jpeg``; by default what the path's suffix says.

    Raises:
        ImageError: the format is unknown or cannot hold the image, or the file cannot be written.
    """
    path = path_of(path, "a picture file", ImageError)
    where = shown(path)
    chosen: Any = format or FORMAT_OF_SUFFIX.get(path.suffix.lower())
    picture = _to_write(image, chosen, where)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        try:
            with part.open("xb") as file:
                picture.save(file, chosen, **_OPTIONS[chosen])
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        see_memory(error, where)
        reason = getattr(error, "strerror", None) or error
        raise ImageError(
            f"{where}: cannot be written ({reason}); check the folder, its rights and free space"
        ) from error


def encode_image(
    image: Image,
    *,
    format: Format,  # noqa: A002 (as above)
    where: str,
    quality: int | None = None,
) -> bytes:
    """Give the bytes of the file that ``save_image`` would write, or a smaller one.

    Args:
        image: uint8 (H, W, C).
        format: ``png``, ``webp`` or ``jpeg``.
        where: what error messages call the picture.
        quality: 1 to 100, of a WebP or JPEG that is lossy, its chroma subsampled.

    Raises:
        ImageError: the format cannot hold the image.
    """
    buffer = io.BytesIO()
    try:
        picture = _to_write(image, format, where)
        options = _OPTIONS[format] if quality is None else {"quality": quality}
        picture.save(buffer, format, **options)
    except (OSError, ValueError) as error:
        see_memory(error, where)
        raise ImageError(f"{where}: cannot be written as {format} ({error})") from error
    return buffer.getvalue()


def _to_write(image: Image, chosen: Format, where: str) -> PIL.Image.Image:
    """The Pillow image of which a format makes a file."""
    if chosen not in _OPTIONS:
        raise ImageError(f"{where}: unknown format; png, webp and jpeg can be written")
    image = validate_image(image, where)
    if chosen == "webp" and max(image.shape) > _WEBP_LONGEST_SIDE:
        raise ImageError(
            f"{where}: WebP holds sides up to {_WEBP_LONGEST_SIDE} pixels; write png instead"
        )
    return to_pil(composite_on_white(image) if chosen == "jpeg" and image.shape[2] == 4 else image)
