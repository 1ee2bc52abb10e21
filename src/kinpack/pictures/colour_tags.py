"""Colours that files state in another way than by a profile, for which one is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import PIL.Image

from kinpack.pictures.files import png
from kinpack.pictures.formats import Format
from kinpack.pictures.made_profiles import (
    CURVES,
    PRIMARIES,
    SRGB,
    Curve,
    Primaries,
    power_curve,
    profile,
    srgb_curve,
)

_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")
_MOST_META = 1 << 20
_MOST_BOXES = 1000
_USUAL = 0.05  # how far from 1/2.2 a PNG's gamma may be and still mean sRGB: libpng's own limit


def note_colours(picture: PIL.Image.Image, file: BinaryIO, found: Format | None) -> None:
    """Give an opened picture the profile of what its file states of its colours.

    In a PNG a cICP chunk comes before a profile, and gAMA, with cHRM, after it and after sRGB; in
    AVIF and HEIC a profile comes first.
    """
    if found is None or found.name not in ("PNG", "AVIF", "HEIC"):
        return
    has_profile = bool(picture.info.get("icc_profile"))
    if found.name == "PNG":
        at = file.tell()
        stated = _of_cicp(png.chunk(file, b"cICP"))
        file.seek(at)
        if stated is None and not has_profile and "srgb" not in picture.info:
            stated = _of_gamma(picture.info.get("gamma"), picture.info.get("chromaticity"))
    elif has_profile:
        return
    else:
        at = file.tell()
        stated = _of_nclx(file)
        file.seek(at)
    if stated is None:
        return
    primaries, curve = stated
    if curve is srgb_curve and primaries == SRGB:
        picture.info.pop("icc_profile", None)
        return
    made = profile(primaries, curve, grey=picture.mode in _GREY)
    if made is not None:
        picture.info["icc_profile"] = made


def _of_numbers(primaries: int, transfer: int) -> tuple[Primaries, Curve] | None:
    """What two numbers of H.273 mean; ``None`` where they state nothing, or nothing known."""
    colours, curve = PRIMARIES.get(primaries), CURVES.get(transfer)
    if primaries == 2 and curve is not srgb_curve:
        colours = SRGB
    return None if colours is None or curve is None else (colours, curve)


def _of_cicp(data: bytes | None) -> tuple[Primaries, Curve] | None:
    if data is None or len(data) != 4:
        return None
    primaries, transfer, matrix, full = data
    return _of_numbers(primaries, transfer) if matrix == 0 and full == 1 else None


def _of_gamma(gamma: object, points: object) -> tuple[Primaries, Curve] | None:
    """What gAMA and cHRM state: as others do, cHRM counts beside gAMA alone."""
    if not isinstance(gamma, float) or not 0.1 <= gamma <= 10:
        return None
    curve = srgb_curve if abs(2.2 * gamma - 1) <= _USUAL else power_curve(1 / gamma)
    primaries = SRGB
    if isinstance(points, tuple) and len(points) == 8:
        pairs = ((float(points[n]), float(points[n + 1])) for n in range(0, 8, 2))
        white, red, green, blue = pairs
        given = Primaries(red, green, blue, white)
        primaries = SRGB if given.is_near(SRGB) else given
    return primaries, curve


def _of_nclx(file: BinaryIO) -> tuple[Primaries, Curve] | None:
    """What the first colour box of a file of boxes states in numbers."""
    for place, length in _boxes(file, 0, file.seek(0, 2), b"meta"):
        file.seek(place + 4)  # after a version and flags
        meta = file.read(min(length - 4, _MOST_META))
        for colour in _within(meta, b"iprp", b"ipco", b"colr"):
            if colour[:4] in (b"nclx", b"nclc") and len(colour) >= 8:
                numbers = (int.from_bytes(colour[at : at + 2], "big") for at in (4, 6))
                return _of_numbers(*numbers)
        return None
    return None


def _boxes(file: BinaryIO, start: int, stop: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    at = start
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        length, begin = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, begin = int.from_bytes(head[8:16], "big"), 16
        elif length == 0:
            length = stop - at
        if len(head) < 8 or length < begin or at + length > stop:
            return
        if head[4:8] == wanted:
            yield at + begin, length - begin
        at += length


def _within(data: bytes, *path: bytes) -> Iterator[bytes]:
    """The contents of all boxes that a path of names leads to."""
    at = 0
    for _ in range(_MOST_BOXES):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8 or at + length > len(data):
            return
        if data[at + 4 : at + 8] == path[0]:
            content = data[at + 8 : at + length]
            if len(path) == 1:
                yield content
            else:
                yield from _within(content, *path[1:])
        at += length
