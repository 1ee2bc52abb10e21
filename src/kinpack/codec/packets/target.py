"""Targets: what is asked of images that are coded, and what a quality means.

Quality q aims at 30 + 0.375 · (q − 50) dB on 32×32 thumbnails such as CIFAR-10's, and weighs a unit
of mean squared error as `lam` says. Other pictures come out better or worse at the same slope.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Literal, Self, TypeAlias, get_args

from kinpack.arguments import whole_number
from kinpack.errors import CodecError

DEFAULT_QUALITY = 60
"""Quality of images of which nothing else is asked."""

_CENTRE, _CENTRE_PSNR, _PSNR_STEP = 50, 30.0, 0.375

Classic: TypeAlias = Literal["auto", "never", "always"]
"""Whether classic payloads are tried beside learned ones."""

Effort: TypeAlias = Literal["fast", "default", "best"]
"""How much time is spent on fewer bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What images are coded to: a quality (by default 60), a PSNR, or a number of bytes.

    Attributes:
        quality: 1 to 100, of all images or of each; 100 is lossless.
        min_psnr: PSNR in dB that every image is to have, 1 to 100, checked by decoding it.
        max_bytes: of a whole new archive but its codec and describer; as high a mean PSNR as fits.
        classic: whether classic payloads are tried beside learned ones: "auto" where the codec's
            own prediction says that one may win, "never", or "always", which takes no more bytes
            than the smallest classic payload.
        effort: how much time is spent on fewer bytes: "fast" and "default" code an image in one
            way where the codec's prediction is clear, "best" tries all that may take fewer bytes.
        threads: that work at a time; None takes as many as suit the machine.

    Raises:
        CodecError: a value is out of range, or more than one of the first three is given.
    """

    quality: int | Sequence[int] | None = None
    min_psnr: float | None = None
    max_bytes: int | None = None
    classic: Classic = "auto"
    effort: Effort = "default"
    threads: int | None = None

    def __post_init__(self) -> None:
        given = [name for name in _EXCLUSIVE if getattr(self, name) is not None]
        if len(given) > 1:
            raise CodecError(f"{' and '.join(given)} exclude each other; give one of them")
        if self.classic not in get_args(Classic):
            raise CodecError(f"classic is {self.classic!r}; it is auto, never or always")
        if self.effort not in get_args(Effort):
            raise CodecError(f"effort is {self.effort!r}; it is fast, default or best")
        if self.quality is not None:
            object.__setattr__(self, "quality", _checked(self.quality))
        if self.min_psnr is not None and not (
            isinstance(self.min_psnr, Real) and 1 <= self.min_psnr <= 100
        ):
            raise CodecError(f"min_psnr is {self.min_psnr!r}; it goes from 1 to 100 dB")
        for name in ("max_bytes", "threads"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, whole_number(value, name, CodecError))

    @classmethod
    def of(cls, target: Self | None, asked: Mapping[str, Any]) -> Self:
        """Take a target as callers give it: whole, or field by field.

        Args:
            target: the whole one, if it is given.
            asked: values of its fields; none beside a whole one.

        Raises:
            CodecError: both are given, or a field is not known.
        """
        if target is not None and asked:
            raise CodecError(f"a target is given, and {', '.join(asked)} too; give one of them")
        if target is not None and not isinstance(target, cls):
            raise CodecError(f"{target!r} is no kinpack.Target; name what is asked: quality=60")
        if target is not None:
            return target
        if "escape" in asked:
            raise CodecError("escape is called classic now: auto, never (for off) or always")
        known = [field.name for field in fields(cls)]
        for name in asked:
            if name not in known:
                raise CodecError(f"{name} is not known; give one of {', '.join(known)}")
        return cls(**asked)

    @property
    def asked(self) -> dict[str, Any]:
        """The quality, the PSNR or the bytes, by its name."""
        for name in ("min_psnr", "max_bytes"):
            if (value := getattr(self, name)) is not None:
                return {name: value}
        return {"quality": DEFAULT_QUALITY if self.quality is None else self.quality}

    def qualities(self, n: int) -> list[int]:
        """The quality of each of n images.

        Raises:
            CodecError: qualities of another number of images were given.
        """
        asked = DEFAULT_QUALITY if self.quality is None else self.quality
        if isinstance(asked, int):
            return [asked] * n
        if len(asked) != n:
            raise CodecError(f"{len(asked)} qualities for {n} images; give one, or one each")
        return list(asked)


_EXCLUSIVE = ("quality", "min_psnr", "max_bytes")


def _checked(quality: Any) -> int | tuple[int, ...]:
    if isinstance(quality, Iterable) and not isinstance(quality, str):
        return tuple(_number(one) for one in quality)
    return _number(quality)


def _number(quality: Any) -> int:
    number = isinstance(quality, Integral) and not isinstance(quality, bool)
    if not number or not 1 <= quality <= 100:
        raise CodecError(f"quality {quality} is out of range: it is a whole number from 1 to 100")
    return int(quality)


def lam(quality: float) -> float:
    """Lagrange weight of squared error at a quality.

    Args:
        quality: 1 to 100.

    Returns:
        Bits per pixel that one unit of mean squared error (over channels, 8-bit scale) is worth.
    """
    return 0.0167 * math.exp2((quality - _CENTRE) / 8)


def aimed_psnr(quality: float) -> float:
    """PSNR in dB that a quality aims at on CIFAR-10 thumbnails."""
    return _CENTRE_PSNR + _PSNR_STEP * (quality - _CENTRE)


def quality_for_psnr(psnr: float) -> float:
    """Quality that aims at a PSNR in dB; beyond 1 to 100 for one that none aims at."""
    return _CENTRE + (psnr - _CENTRE_PSNR) / _PSNR_STEP
