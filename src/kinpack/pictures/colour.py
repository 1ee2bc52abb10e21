"""Colour: whatever mode and profile a picture has, made grey, RGB or RGBA of 8 bits in sRGB."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable

import numpy as np
import PIL.Image

from kinpack.errors import ImageError


def to_plain_mode(picture: PIL.Image.Image, where: str) -> PIL.Image.Image:
    """Convert a loaded picture of any Pillow mode to L, RGB or RGBA in sRGB.

    Grey stays L, transparency of any sort gives RGBA, all else RGB. A profile that is broken, or
    that is of another colour space than the picture, is ignored; CMYK without one is converted by
    Pillow's plain rule.

    Args:
        picture: the picture, left as it is.
        where: what error messages call it.

    Raises:
        ImageError: grey samples of more than 16 bits, or floats outside 0..1.
    """
    profile = picture.info.get("icc_profile")
    alpha: PIL.Image.Image | None = None
    if picture.mode.startswith(("I", "F")):
        picture, alpha = _to_8_bits(picture, where)
    elif picture.mode in ("1", "L", "LA", "La") and picture.has_transparency_data:
        picture, alpha = picture.convert("LA").split()
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture, alpha = picture.convert("RGB"), picture.getchannel("A")
    elif picture.mode in ("1", "L"):
        picture = picture.convert("L")
    elif picture.mode not in ("RGB", "CMYK"):
        picture = picture.convert("RGB")
    if isinstance(profile, bytes) and profile:
        convert = _srgb_conversion(profile, picture.mode)
        picture = picture if convert is None else convert(picture)
    if picture.mode == "CMYK":
        picture = picture.convert("RGB")
    if alpha is not None:
        picture = picture.convert("RGB")
        picture.putalpha(alpha)
    return picture


def _to_8_bits(
    picture: PIL.Image.Image, where: str
) -> tuple[PIL.Image.Image, PIL.Image.Image | None]:
    """Round grey of 16 bits, or floats in 0..1, to 8 bits; alpha where one value is transparent."""
    samples = np.asarray(picture)
    highest = 1.0 if picture.mode == "F" else 65535
    if samples.size and not (samples.min() >= 0 and samples.max() <= highest):
        raise ImageError(
            f"{where}: samples outside 0..{highest:g}, so their range is unknown; "
            "save it with 8 or 16 bits a sample"
        )
    if picture.mode == "F":
        grey = np.rint(samples * 255)
    else:
        grey = (samples.astype(np.uint32) * 255 + 32767) // 65535
    alpha = None
    clear = picture.info.get("transparency")
    if isinstance(clear, int):
        alpha = PIL.Image.fromarray(np.where(samples == clear, 0, 255).astype(np.uint8))
    return PIL.Image.fromarray(grey.astype(np.uint8)), alpha


@functools.lru_cache(maxsize=32)
def _srgb_conversion(
    profile: bytes, mode: str
) -> Callable[[PIL.Image.Image], PIL.Image.Image] | None:
    """Make the conversion of L, RGB or CMYK pictures from an ICC profile to sRGB (L stays L).

    None where there is nothing to do: the profile is broken, or of another colour space, or it
    moves no colour of a probe by more than one level, as sRGB's own profile does, so that
    converting would only add rounding.
    """
    from PIL import ImageCms

    # lcms resamples a whole conversion to a coarse table, too coarse for the dark end of a grey
    # one of low gamma. As 256 levels need no more than a table of their own, it is exact.
    flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            flags=flags,
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
    if mode == "CMYK":
        return transform.apply
    levels = (
        np.arange(256, dtype=np.uint8) if mode == "L" else np.arange(0, 256, 17, dtype=np.uint8)
    )
    if mode == "L":
        probe = PIL.Image.fromarray(levels[None])
        after = transform.apply(probe).getchannel("G")
    else:
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
        probe = PIL.Image.fromarray(colours.reshape(64, 64, 3))
        after = transform.apply(probe)
    change = np.asarray(after, dtype=np.int16) - np.asarray(probe, dtype=np.int16)
    if np.abs(change).max() <= 1:
        return None
    if mode == "L":
        table = after.tobytes()
        return lambda picture: picture.point(table)
    return transform.apply
