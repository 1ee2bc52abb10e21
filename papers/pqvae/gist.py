"""GIST descriptors: the energy of oriented filters, averaged over the parts of a picture.

A. Oliva, A. Torralba, "Modeling the shape of the scene: a holistic representation of the spatial
envelope", IJCV 2001. A picture is whitened locally, filtered in the Fourier domain by a bank of
Gabor filters of several scales and orientations, and the magnitude of each response is averaged
over a grid. Constants are those of the authors' published LMgist program; pictures are taken at
their own size, extended by reflection. Colour is averaged to grey: four scales of eight
orientations on a 4 × 4 grid give 512 numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import ImageError

_BATCH = 32
"""Pictures filtered at a time: their spectra stay in the cache."""
_NOTHING = 1e-7
"""A filter's gain, 1 at its best, that is not told from 0."""
_PREFILTER_EDGE = 5
"""Reflected pixels around a picture while it is whitened."""


@dataclass(frozen=True)
class GistSettings:
    """Size of the descriptor.

    Attributes:
        orientations: filters of each scale, finest scale first.
        grid: parts along each side.
        edge: reflected pixels around a picture while it is filtered.
        cycles: of the whitening filter's half width, over the picture.
    """

    orientations: tuple[int, ...] = (8, 8, 8, 8)
    grid: int = 4
    edge: int = 32
    cycles: float = 4.0

    @property
    def dimensions(self) -> int:
        """Numbers in a descriptor."""
        return sum(self.orientations) * self.grid**2


def gist(
    pixels: NDArray[np.uint8],
    *,
    settings: GistSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Describe pictures.

    Args:
        pixels: uint8 (n, S, S, C), S even and a multiple of the grid.
        settings: size of the descriptor; 512 numbers by default.
        progress: called with the number of pictures that are done, and of all.

    Returns:
        float32 (n, filters·grid²); component (f·grid + r)·grid + c is the mean magnitude of filter
        f in row r and column c of the grid, filters in order of scale, then orientation.

    Raises:
        ImageError: the pictures have another shape.
    """
    settings = settings or GistSettings()
    if pixels.ndim != 4 or pixels.shape[1] != pixels.shape[2]:
        raise ImageError(f"GIST is of square pictures (n, S, S, C), not of {pixels.shape}")
    n, side = pixels.shape[:2]
    if side < 1 or side % 2 or side % settings.grid:
        raise ImageError(
            f"pictures of side {side} do not do for GIST: it must be even and a multiple of "
            f"{settings.grid}"
        )
    bank = gabor_bank(side + 2 * settings.edge, settings.orientations)
    found = np.empty((n, len(bank), settings.grid, settings.grid), np.float32)
    for start in range(0, n, _BATCH):
        batch = pixels[start : start + _BATCH].mean(axis=3, dtype=np.float32)
        found[start : start + _BATCH] = _responses(whiten(batch, settings.cycles), bank, settings)
        if progress is not None:
            progress(min(start + _BATCH, n), n)
    return found.reshape(n, -1)


def whiten(grey: NDArray[np.float32], cycles: float = 4.0) -> NDArray[np.float32]:
    """Take slow changes out of pictures, and level their local contrast.

    With g a Gaussian low-pass filter of half width ``cycles``, i = log(1 + picture) and
    e = i − g∗i, the result is e / (0.2 + √(g∗e²)).

    Args:
        grey: float32 (n, S, S), S even; each is stretched to 0 … 255 first.
        cycles: half width of g in the spectrum.

    Returns:
        float32 (n, S, S).
    """
    low = grey.min(axis=(1, 2), keepdims=True)
    span = grey.max(axis=(1, 2), keepdims=True) - low
    stretched = (grey - low) * (np.float32(255) / np.where(span > 0, span, np.float32(1)))
    w = _PREFILTER_EDGE
    light = np.pad(np.log1p(stretched), ((0, 0), (w, w), (w, w)), mode="symmetric")
    side = light.shape[1]
    f = np.fft.fftfreq(side, 1 / side)
    sigma = cycles / np.sqrt(np.log(2))
    low_pass = np.exp(-(f[:, None] ** 2 + f[None, :] ** 2) / sigma**2).astype(np.float32)
    edges = light - np.asarray(np.fft.ifft2(np.fft.fft2(light) * low_pass).real, np.float32)
    energy = np.abs(np.fft.ifft2(np.fft.fft2(edges * edges) * low_pass))
    whitened = np.asarray(edges / (np.float32(0.2) + np.sqrt(energy)), np.float32)
    return whitened[:, w:-w, w:-w]


def gabor_bank(side: int, orientations: tuple[int, ...]) -> NDArray[np.float32]:
    """Build the filters in the Fourier domain.

    Filter j of scale i, which has n_i orientations, is at radius r (cycles a pixel) and angle φ

        exp(−3.5·(r/r_i − 1)² − 2π·n_i²/64·t²),    r_i = 0.3/1.85^i,  t = φ + jπ/n_i in [−π, π].

    Args:
        side: of the spectrum, even.
        orientations: n_i.

    Returns:
        float32 (filters, side, side), in the order of ``numpy.fft``: rows are vertical frequency.
    """
    f = np.fft.fftfreq(side)
    radius = np.hypot(f[:, None], f[None, :])
    angle = np.arctan2(f[:, None], f[None, :])
    filters = []
    for i, n_i in enumerate(orientations):
        along = -3.5 * (radius / (0.3 / 1.85**i) - 1) ** 2
        for j in range(n_i):
            t = angle + np.pi * j / n_i
            t = np.where(t > np.pi, t - 2 * np.pi, t)
            filters.append(np.exp(along - 2 * np.pi * n_i**2 / 64 * t**2))
    return np.stack(filters).astype(np.float32)


def _responses(
    grey: NDArray[np.float32], bank: NDArray[np.float32], settings: GistSettings
) -> NDArray[np.float32]:
    """Mean magnitudes, float32 (n, filters, grid, grid)."""
    e, grid, side = settings.edge, settings.grid, grey.shape[1]
    spectrum = np.fft.fft2(np.pad(grey, ((0, 0), (e, e), (e, e)), mode="symmetric"))
    found = np.empty((len(grey), len(bank), grid, grid), np.float32)
    columns = np.zeros((len(grey), side + 2 * e, side), spectrum.dtype)
    for number, gabor in enumerate(bank):
        # Of the inverse transform only the picture's own columns, then rows, are wanted; and rows
        # of the spectrum where the filter is nothing beside float32's rounding need none.
        rows = np.flatnonzero(gabor.max(axis=1) > _NOTHING)
        columns[:] = 0
        columns[:, rows] = np.fft.ifft(spectrum[:, rows] * gabor[rows], axis=2)[:, :, e:-e]
        response = np.abs(np.fft.ifft(columns, axis=1)[:, e:-e])
        parts = response.reshape(-1, grid, side // grid, grid, side // grid)
        found[:, number] = parts.mean(axis=(2, 4))
    return found
