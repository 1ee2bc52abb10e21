"""Images: arrays that are made of picture files, Pillow images and other arrays.

An image is a C-contiguous uint8 array of shape (H, W, C), C = 1 grey, 3 RGB, 4 RGBA (alpha not
premultiplied), in sRGB, upright. ``load_image`` makes one of whatever a picture file holds,
``as_image`` of whatever people have in the place of one.
"""

from __future__ import annotations

import io
import math
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image

from kinpack.arguments import path_of
from kinpack.errors import ImageError, see_memory, shown
from kinpack.limits import too_many
from kinpack.pictures.colour import to_plain_mode
from kinpack.pictures.decoding import (
    XMP,
    bomb,
    clear_what_is_not_there,
    damage,
    load_pixels,
    open_picture,
    size_drawn_on_opening,
)
from kinpack.pictures.large_pictures import FILTER, GAP, alone_if_large, in_strips, is_large
from kinpack.pictures.reading import (
    Damaged,
    Reading,
    SampleRange,
    Size,
    doubled,
    note_missing,
    reduced,
)
from kinpack.pictures.sample_range import range_of

Image: TypeAlias = npt.NDArray[np.uint8]
"""A uint8 array (H, W, C), C = 1 grey, 3 RGB, 4 RGBA, C-contiguous, sides 1 to 65,535."""

ImageLike: TypeAlias = Image | PIL.Image.Image | str | os.PathLike[str] | bytes
"""What an image is made of: an array, a Pillow image, the path of a picture file or its bytes."""

LONGEST_SIDE = 65535
"""Longest side of an image, in pixels."""

_BLOCK = 1 << 17  # pixels whose error is summed at a time
_SAMPLE = 4096  # pixels whose colours are counted

_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image[::-1].swapaxes(0, 1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: image[:, ::-1].swapaxes(0, 1),
}
_TURNED = range(5, 9)  # that exchange width and height


def load_image(
    source: str | os.PathLike[str] | bytes | PIL.Image.Image,
    *,
    size: Size | None = None,
    damaged: Damaged = "refuse",
    sample_range: SampleRange = "auto",
    where: str | None = None,
) -> Image:
    """Read a picture as an upright sRGB image, made smaller on request.

    The file's bytes tell its format, whatever its name. The EXIF orientation is applied, and
    colours are converted to sRGB from an ICC profile (a broken one is ignored) or from what a PNG
    or AVIF states in its place. Grey stays one channel; transparency of any sort gives RGBA;
    palettes, CMYK, LAB and YCbCr give RGB. Of an animation the first frame is read, of a TIFF the
    first page that is no reduced copy of another. HEIC and JPEG XL need the extras ``heic`` and
    ``jxl``.

    Args:
        source: the path of a picture file, the bytes of one, or a Pillow image (left as it is).
        size: the longest side in pixels that the result may have, ``(width, height)`` of a box that
            is to hold it, or "short:N" for its shortest side; a larger picture is reduced
            (antialiased, alpha premultiplied), a smaller one is never enlarged.
        damaged: what is done with a file that is cut short: ``refuse`` it, or ``keep`` what is
            there, of most formats.
        sample_range: the grey samples of 16 bits or more, or floats, that become 0 and 255, as
            ``(0, 4095)``; what lies beyond is cut off. ``auto`` takes the range that a TIFF states
            or else the least that holds all samples: floats of 0..1, 0..255 or 0..65535, whole
            numbers of 8, 12 or 16 bits, or from the least to the greatest.
        where: what error messages call the picture; a path names itself.

    Returns:
        The image, uint8 (H, W, C), C = 1, 3 or 4.

    Raises:
        ImageError: the file is missing, empty, no picture, of a sort that is not read, damaged,
            cut short or too large, or holds samples that are no numbers.
        MemoryError: memory ran out, which says nothing of the picture.
    """
    reading = Reading(size=size, damaged=damaged, sample_range=sample_range)
    return read_image(source, reading, where=where)


def read_image(
    source: str | os.PathLike[str] | bytes | PIL.Image.Image,
    reading: Reading,
    *,
    where: str | None = None,
) -> Image:
    """Read a picture as ``load_image`` does; what share is missing ``missing_noted`` collects.

    Raises:
        ImageError: as ``load_image``.
        MemoryError: likewise.
    """
    if isinstance(source, PIL.Image.Image):
        with alone_if_large(source.size):
            return _read(source, reading, where or "a Pillow image")
    if isinstance(source, bytes):
        return _open(io.BytesIO(source), len(source), reading, where or "bytes in memory")
    path = path_of(source, "a picture file", ImageError)
    where = where or shown(source)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a named pipe would block until somebody writes
            raise ImageError(f"{where}: not a regular file; give the path of a picture")
        with path.open("rb") as file:
            return _open(file, status.st_size, reading, where)
    except FileNotFoundError:
        raise ImageError(f"{where}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        see_memory(error, where)
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{where}: cannot be read ({reason}); check it and its rights") from error


def _open(file: BinaryIO, n_bytes: int, reading: Reading, where: str) -> Image:
    """Decode a picture file of ``n_bytes`` bytes."""
    if n_bytes == 0:
        raise ImageError(f"{where}: the file is empty; replace it or leave it out")
    with alone_if_large(size_drawn_on_opening(file)):
        picture, file = open_picture(file, where)
        # Closed before the next large one is read, so that its pixels are gone.
        with alone_if_large(picture.size), closing(picture):
            return _read(picture, reading, where, file=file)


def _read(
    picture: PIL.Image.Image, reading: Reading, where: str, *, file: BinaryIO | None = None
) -> Image:
    """Turn an opened picture into an image; a JPEG of a file may be decoded at a fraction."""
    full, size = picture.size, reading.size
    draft = file is not None and picture.format in ("JPEG", "MPO")
    _refuse_bomb(full, where)
    try:
        if draft and (least := _drafted(full, size)) is not None:
            picture.draft(None, least)
        if file is None:
            picture.load()
        elif (missing := load_pixels(picture, file, reading.damaged, where)) is not None:
            note_missing(missing)
        if file is not None:
            clear_what_is_not_there(picture, file)
        if not draft:
            full = picture.size  # TIFF is turned upright and ICO chooses its size while loading
        _refuse_bomb(full, where)
        if 0 in full:
            raise ImageError(f"{where}: {full[0]}×{full[1]} pixels hold nothing; leave it out")
        orientation = _orientation(picture, where)
        upright = _UPRIGHT.get(orientation)
        wanted = _wanted(full, size, turned=orientation in _TURNED)
        samples = range_of(picture, reading.sample_range, where)
        if is_large(picture.size):
            array = in_strips(picture, wanted, samples)
        else:
            picture = to_plain_mode(picture, samples)
            if wanted is not None:
                picture = picture.resize(wanted, FILTER, reducing_gap=GAP)
            array = np.array(picture)
        if upright is not None:
            array = upright(array)
    except ImageError:
        raise
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise bomb(where) from error
    except Exception as error:  # decoders raise whatever damaged data lead them to
        raise damage(where, error, math.prod(full)) from error
    return validate_image(array, where)


def _wanted(full: tuple[int, int], size: Size | None, *, turned: bool) -> tuple[int, int] | None:
    """Width and height that a picture gets, as it lies in its file; None if it stays."""
    made = reduced(*(full[::-1] if turned else full), size)
    return made[::-1] if made is not None and turned else made


def _drafted(full: tuple[int, int], size: Size | None) -> tuple[int, int] | None:
    """The least size at which a JPEG may be decoded, whichever way it is turned; None for whole.

    Twice the target is left for the filter, as Pillow's own thumbnails do.
    """
    both = [_wanted(full, doubled(size), turned=turned) for turned in (False, True)]
    if both[0] is None or both[1] is None:
        return None
    return max(both[0][0], both[1][0]), max(both[0][1], both[1][1])


def _orientation(picture: PIL.Image.Image, where: str) -> int:
    """The EXIF orientation; what XMP alone states is none, as for browsers."""
    held = {key: picture.info.pop(key) for key in XMP if key in picture.info}
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception as error:  # EXIF that cannot be parsed says nothing
        see_memory(error, where)
        return 1
    finally:
        picture.info.update(held)


def _refuse_bomb(size: tuple[int, int], where: str) -> None:
    if what := too_many(*size):
        raise ImageError(f"{where}: {what}")


def validate_image(array: npt.NDArray[Any], where: str) -> Image:
    """Check that an array is an image; a grey one of shape (H, W) gets its channel axis.

    Args:
        array: uint8 (H, W) or (H, W, C), C = 1, 3 or 4.
        where: what error messages call it.

    Returns:
        The image, uint8 (H, W, C), C-contiguous; a view where nothing had to be copied.

    Raises:
        ImageError: the type, the shape or a side is not an image's.
    """
    if not isinstance(array, np.ndarray):
        cure = "give such an array, a Pillow image, or the path of a picture file"
        if hasattr(array, "permute"):
            cure = "give tensor.permute(1, 2, 0).numpy(), scaled to 0..255"
        raise ImageError(
            f"{where}: an image is a uint8 array (H, W, C), this is of the type "
            f"{type(array).__name__}; {cure}"
        )
    if array.dtype != np.uint8:
        raise ImageError(
            f"{where}: an image is a uint8 array, this is one of {array.dtype}; scale it to 0..255 "
            "and use astype(numpy.uint8)"
        )
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        cure = "use array.transpose(1, 2, 0): its channels come first" if first else "drop axes"
        raise ImageError(
            f"{where}: an image has the shape (H, W) or (H, W, C) with C = 1, 3 or 4, this has "
            f"{array.shape}; {cure}"
        )
    height, width = array.shape[:2]
    if not (height and width):
        raise ImageError(f"{where}: {width}×{height} pixels hold nothing; leave it out")
    if max(height, width) > LONGEST_SIDE:
        raise ImageError(
            f"{where}: {width}×{height} pixels, sides go up to {LONGEST_SIDE}; reduce it (size)"
        )
    return np.ascontiguousarray(array)


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


def to_pil(image: Image) -> PIL.Image.Image:
    """Make a Pillow image (mode L, RGB or RGBA) of an image (H, W, C)."""
    return PIL.Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def as_rgb(image: Image) -> Image:
    """Give the colour of an image as (H, W, 3): grey replicated, alpha dropped, else itself."""
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return image if image.shape[2] == 3 else np.ascontiguousarray(image[:, :, :3])


def composite_on_white(image: Image) -> Image:
    """Lay an image over white: (H, W, 3), rounded to nearest; grey replicated, RGB as it is."""
    if image.shape[2] != 4:
        return as_rgb(image)
    alpha = image[:, :, 3:].astype(np.uint16)
    return ((image[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def squared_error(image: Image, picture: Image) -> float:
    """Squared error of a picture drawn for an image.

    Args:
        image: uint8 (H, W, C).
        picture: uint8 (H, W, C).

    Returns:
        The sum over pixels of the mean over colour channels of the squared difference, 8-bit scale;
        with alpha, that of both as `composite_on_white` lays them over white.
    """
    total = 0.0
    colours = 1 if image.shape[2] == 1 else 3
    step = max(1, _BLOCK // image.shape[1])
    for first in range(0, len(image), step):
        a, b = image[first : first + step], picture[first : first + step]
        if image.shape[2] == 4:
            a, b = composite_on_white(a), composite_on_white(b)
        difference = a.astype(np.float32) - b
        total += float(np.square(difference).sum(dtype=np.float64))
    return total / colours


def sampled_colours(image: Image) -> int:
    """Number of colours among some four thousand pixels of an image, uint8 (H, W, C)."""
    pixels = image.reshape(-1, image.shape[2])
    sample = pixels[:: max(1, len(pixels) // _SAMPLE)].astype(np.uint32)
    weights = np.array([1 << (8 * channel) for channel in range(image.shape[2])], dtype=np.uint32)
    return len(np.unique(sample @ weights))
