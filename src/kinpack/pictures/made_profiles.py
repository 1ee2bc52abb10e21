"""ICC profiles made of what files state in their place: primaries, a white, a curve."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
Curve: TypeAlias = Callable[[Numbers], Numbers]
"""What light samples of 0..1 stand for, of 0..1; an array gives an array of its shape."""

_D65 = (0.3127, 0.3290)
_D50 = (0.9642, 1.0, 0.8249)  # X, Y, Z: the white of all profiles
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_ENTRIES = 4096
_ROUNDING = 0.002
_LIMIT = 1.99  # a profile's numbers of 16 bits before and after the point, signed


@dataclass(frozen=True, slots=True)
class Primaries:
    """Chromaticities, each as x and y."""

    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]
    white: tuple[float, float] = _D65

    def is_near(self, other: Primaries) -> bool:
        """Tell whether all are the same, but for rounding."""
        mine = (*self.red, *self.green, *self.blue, *self.white)
        others = (*other.red, *other.green, *other.blue, *other.white)
        return all(abs(one - two) <= _ROUNDING for one, two in zip(mine, others, strict=True))


SRGB = Primaries((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))

# By the numbers of ITU-T H.273, which PNG (cICP) and AVIF (nclx) use.
PRIMARIES = {
    1: SRGB,
    4: Primaries((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: Primaries((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: Primaries((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: Primaries((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: Primaries((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
"""Primaries by number; what is not there is unknown, or not stated."""


def srgb_curve(samples: Numbers) -> Numbers:
    """The curve of sRGB."""
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


@functools.lru_cache(maxsize=32)
def power_curve(exponent: float) -> Curve:
    """A curve that is a power."""
    return lambda samples: samples**exponent


def _pq(samples: Numbers) -> Numbers:
    """SMPTE ST 2084, with the white of ITU-R BT.2408, 203 cd/m², as 1."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = samples ** (1 / m2)
    light: Numbers = 10000 / 203 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return light


def _hlg(samples: Numbers) -> Numbers:
    """ARIB STD-B67 as a screen of 1000 cd/m² shows it, with three quarters of the signal as 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073

    def scene(signal: Numbers) -> Numbers:
        bright = (np.exp((signal - c) / a) + b) / 12
        return np.where(signal <= 0.5, signal**2 / 3, bright)

    white = float(scene(np.array([0.75]))[0])
    light: Numbers = (scene(samples) / white) ** 1.2
    return light


# The camera's curve of BT.709 and its kin says what a camera does; screens, and all other programs
# for pictures, take such files for sRGB.
CURVES: dict[int, Curve] = {
    **dict.fromkeys((1, 2, 6, 13, 14, 15), srgb_curve),
    4: power_curve(2.2),
    5: power_curve(2.8),
    8: power_curve(1.0),
    16: _pq,
    17: power_curve(2.6),
    18: _hlg,
}
"""Curves by number; 2, not stated, counts as sRGB's."""


@functools.lru_cache(maxsize=32)
def profile(primaries: Primaries, curve: Curve, *, grey: bool) -> bytes | None:
    """Make a profile.

    Args:
        primaries: of the colours; of grey nothing counts but that it is white.
        curve: of all channels; light above 1 is cut off.
        grey: whether the profile is for grey.

    Returns:
        The bytes of an ICC profile; ``None`` where the primaries make no colours.
    """
    table = np.rint(65535 * curve(np.linspace(0, 1, _ENTRIES)).clip(0, 1)).astype(">u2")
    tone = b"curv" + bytes(4) + struct.pack(">I", _ENTRIES) + table.tobytes()
    tags = {b"wtpt": _xyz(np.array(_D50))}
    if grey:
        tags[b"kTRC"] = tone
    else:
        columns = _columns(primaries)
        if columns is None:
            return None
        for name, column in zip((b"r", b"g", b"b"), columns, strict=True):
            tags |= {name + b"XYZ": _xyz(column), name + b"TRC": tone}
    return _file(b"GRAY" if grey else b"RGB ", tags)


def _columns(primaries: Primaries) -> Numbers | None:
    """XYZ of red, green and blue, a row each, adapted to the white of profiles."""
    points = [primaries.red, primaries.green, primaries.blue, primaries.white]
    if not all(np.isfinite((x, y)).all() and 0 < y < 10 and abs(x) < 10 for x, y in points):
        return None
    red, green, blue, white = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in points)
    colours = np.stack([red, green, blue], axis=1)
    bradford = np.array(_BRADFORD)
    try:
        colours = colours * np.linalg.solve(colours, white)
        scale = (bradford @ np.array(_D50)) / (bradford @ white)
        adapted: Numbers = (np.linalg.inv(bradford) @ (scale[:, None] * (bradford @ colours))).T
    except np.linalg.LinAlgError:
        return None
    return adapted if np.abs(adapted).max() < _LIMIT else None


def _xyz(values: Numbers) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * float(one)) for one in values))


def _file(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    places: dict[bytes, int] = {}  # tags of the same content share it
    body, start = b"", 132 + 12 * len(tags)
    for content in tags.values():
        if content not in places:
            places[content] = start + len(body)
            body += content + bytes(-len(content) % 4)
    table = b"".join(
        struct.pack(">4sII", name, places[content], len(content)) for name, content in tags.items()
    )
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, b"mntr", space, b"XYZ "
    )
    head += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp").ljust(32, b"\0")
    head += struct.pack(">3i", *(round(65536 * one) for one in _D50))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
