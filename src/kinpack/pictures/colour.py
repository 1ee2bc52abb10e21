"""Colour: whatever mode and profile a picture has, made grey, RGB or RGBA of 8 bits in sRGB."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable

import numpy as np
import PIL.Image

from kinpack.pictures.sample_range import to_8_bits


def to_plain_mode(picture: PIL.Image.Image, samples: tuple[float, float] | None) -> PIL.Image.Image:
    """Convert a loaded picture of any Pillow mode to L, RGB or RGBA in sRGB.

    Grey stays L, transparency of any sort gives RGBA, all else RGB. A profile that is broken, or
    that is of another colour space than the picture, is ignored; CMYK without one is converted by
    Pillow's plain rule.

    Args:
        picture: the picture, left as it is.
        samples: of grey of more than 8 bits, what becomes 0 and 255 (``range_of``).
    """
    profile = picture.info.get("icc_profile")
    alpha: PIL.Image.Image | None = None
    if samples is not None:
        picture, alpha = to_8_bits(picture, samples)
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
