"""TIFF files: which page is the picture, and what is said of those that Pillow does not read."""

from __future__ import annotations

from typing import Any, BinaryIO

import PIL.Image

_SORT, _OLD_SORT, _BITS, _SAMPLES, _FORMAT = 254, 255, 258, 277, 339
_LOW, _HIGH, _REAL_LOW, _REAL_HIGH = 280, 281, 340, 341
_COMPRESSION = 259
_PHOTOMETRIC, _MAKE, _BELOW, _DNG = 262, 271, 330, 50706
_SENSORS = (32803, 34892)
_REDUCED = 1
_OLD_REDUCED = 2
_MOST_PAGES = 64
"""Pages that are looked at for the picture itself."""
_USUAL = {
    *((1, "unsigned", bits) for bits in (1, 2, 4, 8, 12, 16, 32)),
    *((1, "signed", bits) for bits in (8, 16, 32)),
    *((samples, "unsigned", bits) for samples in (2, 3, 4) for bits in (8, 16)),
    (1, "float", 32),
}
_FORMATS = {1: "unsigned", 2: "signed", 3: "float", 5: "complex integer", 6: "complex float"}


def choose_page(picture: PIL.Image.Image) -> None:
    """Go to the first page of an opened file that is no reduced copy, or else stay at the first.

    Raises:
        Exception: whatever Pillow raises where a page is damaged.
    """
    if not _is_reduced(picture):
        return
    for page in range(1, _MOST_PAGES):
        try:
            picture.seek(page)
        except EOFError:  # there are no more
            break
        if not _is_reduced(picture):
            return
    picture.seek(0)


def _is_reduced(picture: PIL.Image.Image) -> bool:
    tags = _tags(picture)
    sort = tags.get(_SORT)
    if isinstance(sort, int):
        return bool(sort & _REDUCED)
    return bool(tags.get(_OLD_SORT) == _OLD_REDUCED)


def stated_range(picture: PIL.Image.Image) -> tuple[float, float] | None:
    """The least and greatest sample that a file states, or that its bits allow if fewer than 16."""
    tags = _tags(picture)
    for low, high in ((_REAL_LOW, _REAL_HIGH), (_LOW, _HIGH)):
        most = _first(tags.get(high))
        if most is not None:
            least = _first(tags.get(low)) or 0.0
            return (least, most) if least < most else None
    bits, format_ = _first(tags.get(_BITS)), _first(tags.get(_FORMAT)) or 1
    return (0.0, 2**bits - 1) if bits and bits < 16 and format_ == 1 else None


def white_is_zero(picture: PIL.Image.Image) -> bool:
    """Tell whether the greatest sample is black, as in scans of film."""
    return bool(_tags(picture).get(_PHOTOMETRIC) == 0)


def is_camera_raw(file: BinaryIO) -> bool:
    """Tell whether a file is a camera's, whose pages are previews and what its sensor saw."""
    try:
        tags = _directory(file)
        if _DNG in tags or _first(tags.get(_PHOTOMETRIC)) in _SENSORS:
            return True
        reduced = int(_first(tags.get(_SORT)) or 0) & _REDUCED
        return bool(reduced and _MAKE in tags and _BELOW in tags)
    except Exception:  # whatever a damaged directory leads to
        return False


def _directory(file: BinaryIO) -> Any:
    """The tags of the first page."""
    from PIL import TiffImagePlugin

    file.seek(0)
    head = file.read(8)
    if b"\x2b" in head[2:4]:
        head += file.read(8)
    directory = TiffImagePlugin.ImageFileDirectory_v2(head)
    file.seek(directory.next)
    directory.load(file)
    return directory


def unusual(file: BinaryIO) -> str | None:
    """Say what a file holds whose directory is sound; ``None`` where it is not."""
    try:
        tags = _directory(file)
        bits = tags.get(_BITS, (1,))
        samples = int(tags.get(_SAMPLES, 1))
        format_ = _FORMATS[int(_first(tags.get(_FORMAT)) or 1)]
        packing = int(tags.get(_COMPRESSION, 1))
        width, height = int(tags[256]), int(tags[257])
    except Exception:  # whatever a damaged directory leads to
        return None
    if not (width > 0 and height > 0 and samples > 0 and len(bits)):
        return None
    from PIL.TiffImagePlugin import COMPRESSION_INFO

    if packing not in COMPRESSION_INFO:
        return f"TIFF of the compression {packing}"
    if (samples, format_, *sorted(set(bits))) in _USUAL:  # so something else is wrong
        return None
    depths = "/".join(map(str, sorted(set(bits))))
    return f"TIFF of {samples} {format_} sample{'s' * (samples > 1)} of {depths} bits a pixel"


def _tags(picture: PIL.Image.Image) -> Any:
    return getattr(picture, "tag_v2", {})


def _first(value: Any) -> float | None:
    """A tag's number, or the first of several; ``None`` where it holds none."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
