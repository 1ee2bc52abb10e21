"""What a camera noted in a picture file: when, with what, and where it was taken."""

from __future__ import annotations

import math
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kinpack.pictures.decoding import open_picture

_EXIF, _GPS = 0x8769, 0x8825
_MAKE, _MODEL = 0x010F, 0x0110
_TAKEN, _DIGITISED = 0x9003, 0x9004
_LATITUDE, _LONGITUDE = (1, 2, "S", 90.0), (3, 4, "W", 180.0)
_LONGEST = 200  # characters of a camera's name


@dataclass(frozen=True, slots=True)
class Shot:
    """What a camera noted; what it did not, or nobody can read, is ``None``.

    Attributes:
        date: when the picture was taken, by the camera's clock, whose zone is not told.
        camera: its maker and model.
        latitude: in degrees, north positive.
        longitude: in degrees, east positive.
    """

    date: datetime | None = None
    camera: str | None = None
    latitude: float | None = None
    longitude: float | None = None


def read_shot(path: Path, where: str) -> Shot:
    """Read the EXIF notes of a picture file; no pixel is decoded.

    Args:
        path: of the file.
        where: what error messages call it.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            picture, _ = open_picture(file, where)
            with closing(picture):
                exif = picture.getexif()
                main, taken, place = dict(exif), exif.get_ifd(_EXIF), exif.get_ifd(_GPS)
    except OSError:
        raise
    except Exception:  # a damaged picture tells itself when it is drawn; notes may be anything
        return Shot()
    return Shot(
        date=_date(taken.get(_TAKEN)) or _date(taken.get(_DIGITISED)),
        camera=_camera(_text(main.get(_MAKE)), _text(main.get(_MODEL))),
        latitude=_degrees(place, *_LATITUDE),
        longitude=_degrees(place, *_LONGITUDE),
    )


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = value.partition("\0")[0] if isinstance(value, str) else ""
    plain = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in plain).split())[:_LONGEST]


def _date(value: Any) -> datetime | None:
    with suppress(ValueError):
        return datetime.strptime(_text(value)[:19], "%Y:%m:%d %H:%M:%S")
    return None


def _camera(make: str, model: str) -> str | None:
    """Maker and model, the maker once."""
    if make and not model.casefold().startswith(make.casefold().split()[0]):
        model = f"{make} {model}"
    return model.strip()[:_LONGEST] or None


def _degrees(
    place: Any, letter_tag: int, value_tag: int, negative: str, most: float
) -> float | None:
    try:
        degrees, minutes, seconds = map(float, place[value_tag])
        found = degrees + minutes / 60 + seconds / 3600
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None
    if not math.isfinite(found) or not 0 <= found <= most:
        return None
    return -found if _text(place.get(letter_tag)).upper() == negative else found
