"""Decoding picture files with Pillow: told by content, as viewers show them, and named if not."""

from __future__ import annotations

from functools import partial
from typing import BinaryIO

import PIL.Image
from PIL.ImageFile import ImageFile

from kinpack.errors import ImageError, see_memory
from kinpack.limits import DECODING, PIXEL_BYTES, VARIABLE, most_pixels, too_many
from kinpack.pictures.colour_tags import note_colours
from kinpack.pictures.files import camera_raw, jpeg, jxl, png, tiff, webp
from kinpack.pictures.files.unfinished import load_unfinished
from kinpack.pictures.formats import DECODERS, HEAD, RAW, Format, format_of, make_ready
from kinpack.pictures.large_pictures import is_large
from kinpack.pictures.reading import Damaged

_TGA_FLAGS, _TGA_ALPHA_BITS = 17, 15
XMP = ("xmp", "XML:com.adobe.xmp", "Raw profile type xmp")
"""Where Pillow keeps XMP, from which it would take an orientation, which browsers do not."""


def open_picture(file: BinaryIO, where: str) -> tuple[PIL.Image.Image, BinaryIO]:
    """Open a picture file; its pixels are decoded when it is loaded.

    Of a TIFF the first page is chosen that is no reduced copy of another. An orientation that XMP
    alone states is forgotten, as browsers do.

    Args:
        file: the file, at its beginning.
        where: what error messages call it.

    Returns:
        The picture, and the file that it lies in: of a camera's raw file the preview.

    Raises:
        ImageError: it is no picture, is damaged, of a sort that is not read, or too large.
    """
    most_pixels()  # Pillow's own limit may have to be raised first
    found = format_of(file.read(HEAD))
    if found is not None and found.name == "TIFF" and tiff.is_camera_raw(file):
        found = RAW
    file.seek(0)
    try:
        if found is RAW and RAW.is_read:
            return _preview(file, where)
        if found is not None and found.extra is not None and found.is_read:
            if found.name == "JPEG XL" and (what := too_many(*jxl.size(file))):
                raise ImageError(f"{where}: {what}")  # its decoder draws all at once
            make_ready(found.extra)
        try:
            picture = _opened(file, found)
        except OSError:
            mended = webp.completed(file) if found is not None and found.name == "WebP" else None
            if mended is None:
                raise
            file = mended
            picture = _opened(file, found)
        if found is not None and found.name == "TIFF":
            tiff.choose_page(picture)
        note_colours(picture, file, found)
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise bomb(where) from error
    except ImageError:
        raise
    except PIL.UnidentifiedImageError as error:
        raise ImageError(f"{where}: {_named(file, found)}") from error
    except Exception as error:  # decoders raise whatever a damaged header leads them to
        if found is not None and found.name == "TIFF" and (said := tiff.unusual(file)):
            raise ImageError(f"{where}: {_not_read(said)}") from error
        raise damage(where, error) from error
    for key in XMP:
        picture.info.pop(key, None)
    return picture, file


def size_drawn_on_opening(file: BinaryIO) -> tuple[int, int]:
    """Width and height of a picture that opening a file draws, as JPEG XL's decoder does, else 0.

    The file is left at its beginning.
    """
    found = format_of(file.read(HEAD))
    file.seek(0)
    if found is None or found.name != "JPEG XL" or not found.is_read:
        return 0, 0
    try:
        return jxl.size(file)
    except ValueError:
        return 0, 0  # such a file is refused


def _preview(file: BinaryIO, where: str) -> tuple[PIL.Image.Image, BinaryIO]:
    try:
        found, turn = camera_raw.preview(file)
    except ValueError as error:
        raise ImageError(f"{where}: {error}; export it as JPEG or TIFF") from error
    if isinstance(found, PIL.Image.Image):
        picture = found
    else:
        picture, file = open_picture(found, where)
    camera_raw.note_turn(picture, turn)
    return picture, file


def _opened(file: BinaryIO, found: Format | None) -> ImageFile:
    formats = [found.decoder] if found and found.is_read and found.decoder else DECODERS
    if found is RAW:
        raise PIL.UnidentifiedImageError
    try:
        return PIL.Image.open(file, formats=formats)
    except PIL.UnidentifiedImageError:
        if found is None or found.name != "PNG":
            raise
        mended = png.without_spoilt_notes(file)
        if mended is None:
            raise
        return PIL.Image.open(mended, formats=["PNG"])


def _named(file: BinaryIO, found: Format | None) -> str:
    """What is said of a file that Pillow does not know."""
    if found is not None and found.extra is not None and not found.is_read:
        return f"this is {found.name}, whatever its name; {found.extra.cure(found.name)}"
    if found is not None and found.decoder is None:
        return f"this is {found.name}, which is not read; convert it to PNG, TIFF or JPEG"
    said = None
    if found is not None and found.name == "JPEG":
        said = jpeg.unusual(file)
    elif found is not None and found.name == "TIFF":
        said = tiff.unusual(file)
    if said:
        return _not_read(said)
    return "not a picture, or its head is damaged; replace it or leave it out"


def _not_read(said: str) -> str:
    return f"a valid {said}, which is not read; convert it to 8 bits a sample, grey or RGB"


def load_pixels(
    picture: PIL.Image.Image, file: BinaryIO, damaged: Damaged, where: str
) -> float | None:
    """Decode an opened picture; as far as its file goes, if that is asked for.

    Args:
        picture: as ``open_picture`` gave it, drafted perhaps; loaded afterwards.
        file: its file.
        damaged: what is done with one that is cut short.
        where: what error messages call it.

    Returns:
        ``None`` where it is whole; else the share of the picture that is missing, 0 to 1.

    Raises:
        ImageError: it is of a sort that is not read.
        OSError: it is cut short and refused, damaged in another way, or nothing of it is there.
    """
    if isinstance(file, webp.Completed):
        if damaged == "refuse":
            raise OSError("the file is truncated")
        return _some(webp.load_cut(picture, file), OSError("the file is truncated"))
    try:
        picture.load()
    except (OSError, SyntaxError) as error:
        see_memory(error, where)
        if picture.format in ("JPEG", "MPO") and (said := jpeg.unusual(file)):
            raise ImageError(f"{where}: {_not_read(said)}") from error
        if damaged == "refuse":
            raise
        fine = not is_large(picture.size)
        again = partial(_again, file, picture.tell(), picture.size)
        if picture.format in ("JPEG", "MPO"):
            if "truncated" in str(error):
                return _some(jpeg.load_cut(picture, file, fine=fine), error)
            return _some(jpeg.load_broken(picture, file, again, fine=fine), error)
        if picture.format not in UNFINISHED or not isinstance(picture, ImageFile):
            raise
        return _some(load_unfinished(picture, again), error)
    return None


UNFINISHED = ("BMP", "DIB", "GIF", "PNG", "PPM", "TGA", "TIFF")
"""Pillow's names of formats of which it gives the pixels as far as they go."""


def _some(missing: float, error: Exception) -> float:
    """The share that is missing, unless that is all."""
    if missing >= 1:
        raise error
    return missing


def _again(file: BinaryIO, page: int, size: tuple[int, int]) -> ImageFile:
    """Open a picture file once more, at a page, drafted to a size if it was."""
    file.seek(0)
    found = format_of(file.read(HEAD))
    for fraction in (1, 2, 4, 8):
        file.seek(0)
        picture = _opened(file, found)
        if page:
            picture.seek(page)
        if fraction > 1:
            picture.draft(None, (picture.width // fraction, picture.height // fraction))
        if picture.size == size or found is None or found.name != "JPEG":
            break
    return picture


def clear_what_is_not_there(picture: PIL.Image.Image, file: BinaryIO) -> None:
    """Clear what the first frame of a GIF leaves of its canvas; make a false alpha opaque.

    Args:
        picture: as ``open_picture`` gave it, loaded; changed in place.
        file: its file.
    """
    if picture.format == "GIF":
        _clear_around(picture)
    elif picture.format == "TGA" and picture.mode == "RGBA":
        file.seek(_TGA_FLAGS)
        if not file.read(1)[0] & _TGA_ALPHA_BITS:
            picture.putalpha(255)


def _clear_around(picture: PIL.Image.Image) -> None:
    """Give what lies around a GIF's first frame a colour that the frame does not have, as clear.

    Browsers show nothing there, whatever the background is said to be.
    """
    frame = getattr(picture, "dispose_extent", None)
    if frame is None or frame == (0, 0, *picture.size) or "transparency" in picture.info:
        return
    if picture.mode not in ("L", "P"):
        return
    left, top, right, bottom = frame
    width, height = picture.size
    around = [(0, 0, width, top), (0, bottom, width, height)]
    around += [(0, top, left, bottom), (right, top, width, bottom)]
    used = picture.crop(frame).histogram()
    free = next((level for level, count in enumerate(used) if not count), None)
    if free is None:  # of 256 colours the one that is used least is lost
        free = min(range(256), key=used.__getitem__)
    for box in around:
        if box[0] < box[2] and box[1] < box[3]:
            picture.paste(free, box)
    picture.info["transparency"] = free


def bomb(where: str) -> ImageError:
    """The error for a picture that Pillow finds too large."""
    return ImageError(
        f"{where}: more pixels than the limit against decompression bombs ({most_pixels():,}); "
        f"reduce it first or, if you trust it, raise the environment variable {VARIABLE}"
    )


def damage(where: str, error: Exception, pixels: int = 0) -> ImageError:
    """The error for a picture that a decoder refuses, unless it only lacked memory."""
    see_memory(error, where, max(PIXEL_BYTES, DECODING * pixels))
    reason = " ".join(str(error).split()) or type(error).__name__
    if "out of memory" in reason:  # decoders say so too where a picture asks for absurdly much
        return ImageError(
            f"{where}: its decoder had too little memory; try again where more is free, or leave "
            "it out"
        )
    return ImageError(
        f"{where}: the picture is damaged or cut short ({reason}); replace it or leave it out"
    )
