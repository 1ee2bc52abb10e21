"""Formats of picture files: told by their first bytes, whatever the name; which are read."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

HEAD = 160
"""Bytes of a file's beginning that tell its format."""


@dataclass(frozen=True, slots=True)
class Extra:
    """An optional package that reads a format.

    Attributes:
        name: of kinpack's extra, as in ``pip install 'kinpack[heic]'``.
        package: as an index lists it.
        module: as it is imported.
    """

    name: str
    package: str
    module: str

    @property
    def is_installed(self) -> bool:
        """Whether it can be imported; it is not imported for this."""
        return _is_installed(self.module)

    def cure(self, what: str) -> str:
        """Say what reads a format."""
        return (
            f"{what} is read where the package {self.package} is installed "
            f"(pip install 'kinpack[{self.name}]')"
        )


@dataclass(frozen=True, slots=True)
class Format:
    """A format of picture files.

    Attributes:
        name: as messages say it.
        suffixes: of its files' names, in lower case.
        decoder: Pillow's name for what reads it, ``None`` where nothing does.
        extra: the package that brings the decoder, ``None`` where Pillow has it.
        begins: whether the first bytes of a file, ``HEAD`` of them, are this format's; ``None``
            where they tell nothing.
    """

    name: str
    suffixes: frozenset[str]
    decoder: str | None
    extra: Extra | None = None
    begins: Callable[[bytes], bool] | None = None

    @property
    def is_read(self) -> bool:
        """Whether files of it can be read here and now."""
        return self.decoder is not None and (self.extra is None or self.extra.is_installed)


def _starts(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(beginnings)


def _of_brand(*brands: bytes) -> Callable[[bytes], bool]:
    """Tell a file of ISO boxes by its brands: the major one, and those that it is compatible with.

    A major brand that says no more than "a picture" leaves the word to the others.
    """

    def begins(head: bytes) -> bool:
        if head[4:8] != b"ftyp":
            return False
        size = min(int.from_bytes(head[:4], "big"), len(head))
        others = [head[at : at + 4] for at in range(16, size - 3, 4)]
        major = head[8:12]
        named = [major] if major not in (b"mif1", b"msf1", b"miaf") else others
        return any(brand in brands for brand in named)

    return begins


def _is_bmp(head: bytes) -> bool:
    size = int.from_bytes(head[14:18], "little")
    return head[:2] == b"BM" and size in (12, 16, 40, 52, 56, 64, 108, 124)


_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SENSORS = (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb", b"\0MRM")
_RAW = (
    ".3fr .arw .cr2 .cr3 .dcr .dng .erf .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf "
    ".raw .rw2 .rwl .sr2 .srf .srw .x3f"
)
RAW_SUFFIXES = frozenset(_RAW.split())
"""Endings of the names of cameras' raw files, in lower case."""


def _of(
    name: str,
    suffixes: str,
    decoder: str | None,
    begins: Callable[[bytes], bool] | None = None,
    extra: Extra | None = None,
) -> Format:
    return Format(name, frozenset(suffixes.split()), decoder, extra, begins)


RAW = Format(
    "camera raw",
    RAW_SUFFIXES,
    "raw",
    Extra("raw", "rawpy", "rawpy"),
    lambda head: head.startswith(_SENSORS) or (head[:4] in _TIFF and head[8:10] == b"CR"),
)
"""Raw files of cameras, of which the preview is read; not by Pillow. Most begin as TIFF does."""

FORMATS = (
    _of("JPEG", ".jpg .jpeg .jpe .jfif .mpo", "JPEG", _starts(b"\xff\xd8\xff")),
    _of("PNG", ".png .apng", "PNG", _starts(b"\x89PNG\r\n\x1a\n")),
    _of("WebP", ".webp", "WEBP", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    _of("GIF", ".gif", "GIF", _starts(b"GIF87a", b"GIF89a")),
    _of("BMP", ".bmp", "BMP", _is_bmp),
    _of("DIB", "", "DIB"),
    _of("AVIF", ".avif .avifs", "AVIF", _of_brand(b"avif", b"avis")),
    _of(
        "JPEG 2000",
        ".jp2 .j2k .jpx .jpf .j2c .jpc",
        "JPEG2000",
        _starts(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    ),
    _of("PPM", ".pbm .pgm .ppm .pnm", "PPM"),
    _of("ICO", ".ico", "ICO"),
    _of("TGA", ".tga", "TGA"),
    _of(
        "HEIC",
        ".heic .heif .hif .heics .heifs",
        "HEIF",
        _of_brand(*_HEIC),
        Extra("heic", "pillow-heif", "pillow_heif"),
    ),
    _of(
        "JPEG XL",
        ".jxl",
        "JXL",
        _starts(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
        Extra("jxl", "pillow-jxl-plugin", "pillow_jxl"),
    ),
    RAW,
    _of("TIFF", ".tif .tiff", "TIFF", _starts(*_TIFF)),
    _of("Photoshop", ".psd .psb", None, _starts(b"8BPS")),
    _of("OpenEXR", ".exr", None, _starts(b"v/1\x01")),
    _of("Radiance HDR", ".hdr", None, _starts(b"#?RADIANCE", b"#?RGBE")),
    _of("DICOM", ".dcm", None, lambda head: head[128:132] == b"DICM"),
    _of("JPEG XR", ".jxr .wdp .hdp", None, _starts(b"II\xbc\x01")),
    _of("DDS", ".dds", None, _starts(b"DDS ")),
)
"""The formats that are known, read or not; of those that begin alike the first one counts."""

SUFFIXES = frozenset(
    suffix for one in FORMATS if one.decoder and not one.extra for suffix in one.suffixes
)
"""Endings of the file names that always count as pictures in a folder, in lower case."""

PICTURE_SUFFIXES = frozenset(suffix for one in FORMATS if one.decoder for suffix in one.suffixes)
"""Those, and the endings of formats that an extra reads."""

# The names of the decoders that Pillow may try, whatever the file's name. Its others include one
# (EPS) that hands the file to an external program.
DECODERS = tuple(one.decoder for one in FORMATS if one.decoder and not one.extra)
"""Pillow's names of the decoders that need no extra."""


def format_of(head: bytes) -> Format | None:
    """Tell the format of a file by its first bytes, ``HEAD`` of them; ``None`` if unknown."""
    return next((one for one in FORMATS if one.begins and one.begins(head)), None)


def is_picture_name(name: str) -> bool:
    """Tell whether a file name ends like that of a picture that is read here, in any case."""
    suffix = suffix_of(name)
    return suffix in SUFFIXES or any(suffix in one.suffixes and one.is_read for one in _with_extra)


def suffix_of(name: str) -> str:
    """The suffix of a file name, in lower case, with its dot; empty where there is none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (no Path per file)


def cures(suffixes: Iterable[str]) -> list[str]:
    """Say what would read files of these suffixes that are not read here."""
    there = frozenset(suffixes)
    return [
        one.extra.cure(one.name)
        for one in _with_extra
        if one.extra and not one.is_read and there & one.suffixes
    ]


def make_ready(extra: Extra) -> None:
    """Import what reads a format, and let Pillow know of it."""
    module = importlib.import_module(extra.module)
    if extra.module == "pillow_heif":
        module.register_heif_opener(thumbnails=False)


_with_extra = tuple(one for one in FORMATS if one.extra)


@functools.cache
def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
