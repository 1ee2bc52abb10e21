"""Raw files of cameras: the preview that lies in each, with the package rawpy."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import PIL.Image

_ORIENTATION = 0x0112
# How LibRaw and EXIF call the same turns.
_TURNS = {3: 3, 5: 8, 6: 6}


def preview(file: BinaryIO) -> tuple[BinaryIO | PIL.Image.Image, int]:
    """Find the largest preview in a raw file; the sensor's own samples are not developed.

    Args:
        file: the file.

    Returns:
        A JPEG file, or a picture; and the EXIF orientation that its camera noted.

    Raises:
        ValueError: there is none, or the file is damaged.
    """
    import rawpy

    file.seek(0)
    try:
        with rawpy.imread(file) as raw:
            found: Any = raw.extract_thumb()
            turn = _TURNS.get(int(raw.sizes.flip), 1)
    except rawpy.LibRawError as error:
        said = error.args[0] if error.args else error
        said = said.decode("ascii", "replace") if isinstance(said, bytes) else said
        raise ValueError(f"no preview in a camera's raw file: {said}") from error
    if found.format == rawpy.ThumbFormat.JPEG:
        return io.BytesIO(found.data), turn
    if found.format == rawpy.ThumbFormat.BITMAP:
        return PIL.Image.fromarray(found.data), turn
    raise ValueError("no preview in a camera's raw file that is a JPEG or a bitmap")


def note_turn(picture: PIL.Image.Image, turn: int) -> None:
    """Note the raw file's orientation at its preview, unless the preview states one itself."""
    exif = picture.getexif()
    if turn != 1 and _ORIENTATION not in exif:
        exif[_ORIENTATION] = turn
