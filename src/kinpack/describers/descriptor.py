"""Descriptors: what a codec's product code quantises, of a picture's 32×32 area reduction.

The linear descriptor projects it on a few learned directions; the network descriptor gives it to a
small network. The former's definition is part of what a codec means. Step by step:

1. Reduce the image to 32×32 cells (``area_reduction``), in sixteenths of a level:
   ``c = rint(16 · cell)``, an integer 0..4080 for each cell and colour.
2. Add the cells of each square block, (32 / side)² of them, to side × side blocks: integers x_i,
   i = (row · side + column) · 3 + colour. There are N = 3 · side² of them; one level of the
   picture is u = 16 · (32 / side)² units.
3. Project: p_r = Σ_i matrix[r, i] · x_i, an integer.
4. Where ``contrast_floor`` is a number, take out brightness and contrast: with s = Σ x_i,
   q = Σ x_i² and w_r = Σ_i matrix[r, i],
   σ = √(N q − s²) / (N u), and z_r = scale_r · (N p_r − s w_r) / (N u (σ + contrast_floor))
   − offset_r. Else z_r = scale_r · p_r / u − offset_r.
5. Where ``unit_length``, divide z by its length √(z_0² + z_1² + …), added in that order; a zero
   vector stays.

Steps 1 to 3 and the sums of step 4 are integers below 2^53 held in float64, exact in any order;
what follows is element by element. So an image has the same descriptor on every machine, alone or
in any batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.fitting import resampled
from kinpack.errors import CodecError
from kinpack.networks.networks import Network
from kinpack.pictures.images import Image

REDUCTION_SIDE = 32
"""Cells along each side of the area reduction that every descriptor starts from."""

_LEVEL = 16
"""Units in one of 255 levels of a cell."""

_BATCH = 512
"""Images reduced at a time: 6 MB of cells."""

_RUN = 256
"""Images in one run of a network."""


@dataclass(frozen=True, eq=False)
class LinearDescriptor:
    """Learned directions over the area reduction of an image; see the module for the formulas.

    Attributes:
        matrix: int8 or int16 (D, 3 · side²); ``matrix[r]`` is direction r over the blocks, in
            order of row, column, colour.
        scale: float32 (D,); what one unit of ``matrix[r]`` is worth.
        offset: float32 (D,); the projected mean of the learning images.
        side: blocks along each side: 1, 2, 4, 8, 16 or 32.
        contrast_floor: levels added to the standard deviation that contrast is divided by, above
            0, so that a flat picture's noise is not blown up; None keeps brightness and contrast.
        unit_length: whether descriptors are brought to length 1, so that distances rank by cosine.

    Raises:
        CodecError: shapes, types or values do not fit together.
    """

    matrix: NDArray[np.int8] | NDArray[np.int16]
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    side: int
    contrast_floor: float | None
    unit_length: bool

    def __post_init__(self) -> None:
        if self.side not in (1, 2, 4, 8, 16, 32):
            raise CodecError(f"a descriptor of {self.side}×{self.side} blocks is not known")
        if self.contrast_floor is not None and not 0 < self.contrast_floor < np.inf:
            raise CodecError(f"a contrast floor of {self.contrast_floor} levels is not above 0")
        matrix = np.array(self.matrix, order="C")
        if matrix.dtype not in (np.int8, np.int16) or matrix.ndim != 2 or len(matrix) == 0:
            raise CodecError("a descriptor's matrix is int8 or int16 of shape (D, 3 · side²)")
        if matrix.shape[1] != 3 * self.side**2:
            raise CodecError(
                f"a descriptor's matrix has {matrix.shape[1]} columns, {3 * self.side**2} expected"
            )
        object.__setattr__(self, "matrix", matrix)
        matrix.flags.writeable = False
        for name in ("scale", "offset"):
            values = np.array(getattr(self, name), dtype=np.float32)
            if values.shape != (len(matrix),) or not np.isfinite(values).all():
                raise CodecError(f"a descriptor's {name} is not {len(matrix)} finite numbers")
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    @property
    def D(self) -> int:  # noqa: N802 (paper letter)
        """Number of components of a descriptor."""
        return len(self.matrix)

    def to_dict(self) -> dict[str, Any]:
        """Give the configuration, ready for JSON: all but the arrays."""
        return {
            "side": self.side,
            "contrast_floor": self.contrast_floor,
            "unit_length": self.unit_length,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give the arrays by name: ``matrix``, ``scale`` and ``offset``."""
        return {"matrix": self.matrix, "scale": self.scale, "offset": self.offset}

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Undo ``to_dict`` and ``arrays``.

        Raises:
            CodecError: an entry is missing, unknown, or does not fit.
        """
        try:
            unknown = set(config) - {"side", "contrast_floor", "unit_length"}
            floor = config["contrast_floor"]
            descriptor = cls(
                matrix=arrays["matrix"],
                scale=arrays["scale"],
                offset=arrays["offset"],
                side=int(config["side"]),
                contrast_floor=None if floor is None else float(floor),
                unit_length=bool(config["unit_length"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CodecError(f"the descriptor's description is incomplete: {error}") from error
        if unknown:
            raise CodecError(f"the descriptor has settings of a newer version: {sorted(unknown)}")
        return descriptor

    def describe(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Describe images.

        Args:
            images: n images, uint8 (H, W, C) each, of any sizes.

        Returns:
            float32 (n, D); row i describes ``images[i]``.
        """
        described = np.empty((len(images), self.D), np.float32)
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            cells = np.stack([area_reduction(image, REDUCTION_SIDE) for image in batch])
            described[start : start + _BATCH] = self.of_reductions(cells)
        return described

    def of_reductions(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Describe area reductions that are there already.

        Args:
            cells: float32 (n, 32, 32, 3), 0 to 255, as ``area_reduction`` gives them.

        Returns:
            float32 (n, D).

        Raises:
            CodecError: ``cells`` has another shape.
        """
        x = blocks(cells, self.side)
        N = x.shape[1]
        u = _LEVEL * (REDUCTION_SIDE // self.side) ** 2
        matrix = self.matrix.astype(np.float64)
        scale, offset = self.scale.astype(np.float64), self.offset.astype(np.float64)
        p = x @ matrix.T
        if self.contrast_floor is None:
            z = scale * p / u - offset
        else:
            s = x.sum(axis=1, keepdims=True)
            q = (x * x).sum(axis=1, keepdims=True)
            sigma = np.sqrt(N * q - s * s) / (N * u)
            z = scale * (N * p - s * matrix.sum(axis=1)) / (N * u * (sigma + self.contrast_floor))
            z -= offset
        if self.unit_length:
            squares = np.zeros(len(z))
            for r in range(z.shape[1]):
                squares += z[:, r] * z[:, r]
            length = np.sqrt(squares)[:, None]
            z /= np.where(length > 0, length, 1.0)
        return z.astype(np.float32)


def blocks(cells: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """Add the cells of area reductions to side × side blocks, in whole units.

    Args:
        cells: float32 (n, 32, 32, 3), 0 to 255.
        side: blocks along each side; 32 is a multiple of it.

    Returns:
        float64 (n, 3 · side²) of integers, in order of row, column, colour; one level of the
        picture is 16 · (32 / side)² units.

    Raises:
        CodecError: ``cells`` has another shape.
    """
    if cells.ndim != 4 or cells.shape[1:] != (REDUCTION_SIDE, REDUCTION_SIDE, 3):
        raise CodecError(f"area reductions have shape (n, 32, 32, 3), not {cells.shape}")
    f = REDUCTION_SIDE // side
    n = len(cells)
    units = np.rint(cells * np.float32(_LEVEL)).astype(np.int32)
    sums = units.reshape(n, side, f, side, f, 3).sum(axis=(2, 4), dtype=np.int32)
    flat: NDArray[np.int32] = sums.reshape(n, 3 * side * side)
    return flat.astype(np.float64)


class NetworkDescriptor:
    """Describes images by a network of a codec file.

    Args:
        network: (n, 3, 32, 32) cells / 255 − 0.5, float32, to (n, D) float32.
        D: components of a vector.
    """

    def __init__(self, network: Network, D: int) -> None:
        self._network, self.D = network, D

    def describe(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Describe images.

        Args:
            images: n images, uint8 (H, W, C) each, of any sizes.

        Returns:
            float32 (n, D); row i describes ``images[i]``.

        Raises:
            CodecError: the network does not run, or gives something else.
        """
        described = np.empty((len(images), self.D), np.float32)
        for first in range(0, len(images), _RUN):
            cells = [
                area_reduction(image, REDUCTION_SIDE) for image in images[first : first + _RUN]
            ]
            x = np.stack(cells).transpose(0, 3, 1, 2).astype(np.float32)
            x = x / np.float32(255) - np.float32(0.5)
            described[first : first + _RUN] = self._network(x, (len(x), self.D))
        return described


def area_reduction(image: Image, side: int = 32) -> NDArray[np.float32]:
    """Average an image over a grid of side × side equal areas, whatever its shape.

    Cell (i, j) of the result is the mean of the picture, taken as a function that is constant on
    each pixel, over the rectangle [i H/side, (i+1) H/side) × [j W/side, (j+1) W/side). It is the
    same number on every machine: up to the last division the sums are integers below 2^53 held in
    float64, exact in any order of summation.

    Args:
        image: uint8 (H, W, C); RGBA is composited on white, grey replicated.
        side: cells along each side of the grid.

    Returns:
        float32 (side, side, 3): mean red, green and blue of the cell in row i and column j,
        0 to 255.
    """
    return resampled(image, side, side)
