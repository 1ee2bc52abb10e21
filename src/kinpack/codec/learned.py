"""Learned payloads: latents quantised on an integer grid and coded step by step.

```
 picture ─▶ analysis ─▶ y ─▶ symbols ─▶ range coder ─▶ payload
                              ▲   │
      mean, table ◀── context network ◀── latents decoded so far, product code, quality
                                  │
                                  ▼  ŷ = mean + symbol · Δ, integers ─▶ synthesis ─▶ picture
```
Means, table numbers and ŷ are integers from integer arithmetic (the context networks hold integers
in float32, every sum below 2^24), so that any machine decodes the same symbols from the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.latent_format import MAX_LIMIT, LatentFormat
from kinpack.codec.networks import Array, Network, Tiling, run_tiled
from kinpack.entropy.range_coder import RangeReader, RangeWriter
from kinpack.entropy.tables import FrequencyTables
from kinpack.errors import CodecError, ImageError, PayloadError

STRIDE = 8
"""Pixels that one latent position stands for, along a side."""
MAX_SIDE = 4096
"""Longest side, in pixels, that learned payloads take."""

_BATCH_PIXELS = 1 << 18
_ANALYSIS = Tiling(tile=512, halo=64, down=STRIDE)
_SYNTHESIS = Tiling(tile=64, halo=8, up=STRIDE)
_CONTEXT = Tiling(tile=64, halo=1)

_EXACT = 1 << 24
"""Integers of float32 are exact below this."""

Ints = NDArray[np.int64]
Picture = NDArray[np.uint8]


class LearnedCoder:
    """Encodes and decodes learned payloads.

    Args:
        latent: numbers of the latent format.
        analysis: picture to ``y``; input (n, 4, H, W), RGB −0.5..0.5 and the quality plane.
        synthesis: latents to picture; input (n, channels + 1, h, w).
        context: one network for each step; input (n, stop + E + 1, h, w) of integers, output
            (n, 2·(stop − start), h, w): means in units, then numbers of the widest table that fits.
        code_context: (M, K, E) integers; a code contributes the sum of its words' rows.
        tables: frequency tables, narrowest first.
        step_units: (101,) quantiser step of each quality, in units.
        table_shift: (101,) what each quality adds to the context network's table number.

    Raises:
        CodecError: the parts do not fit together, or hold numbers out of range.
    """

    def __init__(
        self,
        latent: LatentFormat,
        *,
        analysis: Network,
        synthesis: Network,
        context: Sequence[Network],
        code_context: Ints,
        tables: FrequencyTables,
        step_units: Ints,
        table_shift: Ints,
    ) -> None:
        if len(context) != len(latent.steps) or code_context.ndim != 3:
            raise CodecError("the codec's context networks do not fit its steps; make it anew")
        if step_units.shape != (101,) or table_shift.shape != (101,) or step_units[1:].min() < 1:
            raise CodecError("the codec's quality tables are out of range; make it anew")
        for name, values in (
            ("code context", code_context),
            ("quantiser steps", step_units),
            ("table numbers", table_shift),
        ):
            if values.size and _size(values) >= MAX_LIMIT:
                raise CodecError(f"the codec's {name} are out of range; make it anew")
        self.latent, self.tables = latent, tables
        self._analysis, self._synthesis, self._context = analysis, synthesis, list(context)
        self._code_context = code_context
        self._step_units, self._table_shift = step_units, table_shift

    def encode(
        self, pictures: Sequence[Picture], codes: NDArray[np.uint8], *, quality: int
    ) -> tuple[list[bytes], list[Picture]]:
        """Encode pictures and draw them again.

        Args:
            pictures: uint8 (H, W, 3) each, sides 1 to 4096.
            codes: (n, M) sub-indices of each.
            quality: 1 to 99.

        Returns:
            The payloads, and the pictures that a decoder will draw.

        Raises:
            ImageError: a picture is larger than 4096 pixels.
        """
        payloads: list[bytes] = [b""] * len(pictures)
        drawn: list[Picture] = [np.zeros((0, 0, 3), np.uint8)] * len(pictures)
        for picture in pictures:
            if max(picture.shape[:2]) > MAX_SIDE:
                raise ImageError(
                    f"a picture of {picture.shape[1]}×{picture.shape[0]} pixels is too large for "
                    f"learned payloads ({MAX_SIDE} a side); reduce it, or allow classic payloads"
                )
        for rows in _batches([picture.shape[:2] for picture in pictures]):
            padded = np.stack([_padded(pictures[i]) for i in rows])
            y = self._latents(padded, quality)
            y_hat, messages = self._code(y, codes[rows], quality)
            for i, message, picture in zip(rows, messages, self._draw(y_hat, quality), strict=True):
                height, width = pictures[i].shape[:2]
                payloads[i], drawn[i] = message, picture[:height, :width]
        return payloads, drawn

    def decode(
        self,
        payloads: Sequence[bytes],
        codes: NDArray[np.uint8],
        *,
        sizes: Sequence[tuple[int, int]],
        quality: int,
    ) -> list[Picture]:
        """Draw the pictures of payloads.

        Args:
            payloads: as ``encode`` gave them.
            codes: (n, M) sub-indices of each.
            sizes: (height, width) of each picture.
            quality: at which all were encoded.

        Returns:
            uint8 (H, W, 3) pictures.

        Raises:
            PayloadError: a payload is damaged, or states a picture larger than 4096 pixels.
        """
        for height, width in sizes:
            if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
                raise PayloadError(
                    f"a learned payload states {width}×{height} pixels, its sides go from 1 to "
                    f"{MAX_SIDE}; it is damaged: take the image from a backup"
                )
        pictures: list[Picture] = [np.zeros((0, 0, 3), np.uint8)] * len(payloads)
        for rows in _batches(sizes):
            y_hat = self.decode_latents(
                [payloads[i] for i in rows], codes[rows], size=sizes[rows[0]], quality=quality
            )
            for i, picture in zip(rows, self._draw(y_hat, quality), strict=True):
                height, width = sizes[i]
                pictures[i] = picture[:height, :width]
        return pictures

    def decode_latents(
        self,
        payloads: Sequence[bytes],
        codes: NDArray[np.uint8],
        *,
        size: tuple[int, int],
        quality: int,
    ) -> Ints:
        """Dequantised latents of payloads of one size.

        Args:
            payloads: as ``encode`` gave them.
            codes: (n, M) sub-indices of each.
            size: (height, width) of the pictures, up to padding.
            quality: at which all were encoded.

        Returns:
            (n, channels, h, w) int64, in units.
        """
        h, w = (-(-side // STRIDE) for side in size)
        readers = [RangeReader(payload, self.tables) for payload in payloads]
        y_hat = np.zeros((len(payloads), self.latent.channels, h, w), dtype=np.int64)
        for index in range(len(self.latent.steps)):
            where, mean, table = self._predict(index, y_hat, codes, quality)
            symbols = np.stack(
                [r.pull(t.ravel()).reshape(t.shape) for r, t in zip(readers, table, strict=True)]
            )
            self._place(index, y_hat, where, mean, symbols, quality)
        return y_hat

    def encode_latents(
        self, pictures: Picture, codes: NDArray[np.uint8], *, quality: int
    ) -> tuple[Ints, list[bytes]]:
        """Dequantised latents and payloads of pictures of one size.

        Args:
            pictures: uint8 (n, H, W, 3), sides multiples of 8.
            codes: (n, M) sub-indices of each.
            quality: 1 to 99.

        Returns:
            (n, channels, h, w) int64 in units, and the payloads.
        """
        return self._code(self._latents(pictures, quality), codes, quality)

    def symbols(
        self, pictures: Picture, codes: NDArray[np.uint8], *, quality: int
    ) -> tuple[Ints, Ints]:
        """Symbols and their tables, as the tables are learned from them.

        Args:
            pictures: uint8 (n, H, W, 3), sides multiples of 8.
            codes: (n, M) sub-indices of each.
            quality: 1 to 99.

        Returns:
            Two (s,) int64 arrays: the symbols of all pictures and the number of each one's table.
        """
        found: list[tuple[Ints, Ints]] = []
        y = self._latents(pictures, quality)
        self._quantise(y, codes, quality, lambda s, t: found.append((s.ravel(), t.ravel())))
        return np.concatenate([s for s, _ in found]), np.concatenate([t for _, t in found])

    def _latents(self, pictures: Picture, quality: int) -> NDArray[np.float64]:
        n, height, width, _ = pictures.shape
        x = np.empty((n, 4, height, width), dtype=np.float32)
        x[:, :3] = pictures.transpose(0, 3, 1, 2)
        x[:, :3] /= 255
        x[:, :3] -= 0.5
        x[:, 3] = (quality - 50) / 20
        y = run_tiled(self._analysis, x, _ANALYSIS, channels=self.latent.channels)
        units = y.astype(np.float64) * (self.latent.gain * self.latent.unit)
        # No ŷ lies beyond the limit; symbols stay within the coder's range.
        return units.clip(-self.latent.limit, self.latent.limit)

    def _code(
        self, y: NDArray[np.float64], codes: NDArray[np.uint8], quality: int
    ) -> tuple[Ints, list[bytes]]:
        writers = [RangeWriter(self.tables) for _ in y]

        def push(symbols: Ints, table: Ints) -> None:
            for writer, s, t in zip(writers, symbols, table, strict=True):
                writer.push(s.ravel(), t.ravel())

        y_hat = self._quantise(y, codes, quality, push)
        return y_hat, [writer.finish() for writer in writers]

    def _quantise(
        self,
        y: NDArray[np.float64],
        codes: NDArray[np.uint8],
        quality: int,
        emit: Callable[[Ints, Ints], None],
    ) -> Ints:
        y_hat = np.zeros(y.shape, dtype=np.int64)
        for index, (start, stop, _) in enumerate(self.latent.steps):
            where, mean, table = self._predict(index, y_hat, codes, quality)
            distance = (y[:, start:stop][:, :, where] - mean) / self._step_units[quality]
            size = np.floor(np.abs(distance) + (0.5 - self.latent.dead_zone))
            symbols = np.copysign(size, distance).astype(np.int64)
            emit(symbols, table)
            self._place(index, y_hat, where, mean, symbols, quality)
        return y_hat

    def _predict(
        self, index: int, y_hat: Ints, codes: NDArray[np.uint8], quality: int
    ) -> tuple[NDArray[np.bool_], Ints, Ints]:
        """Positions that a step codes, and the (n, c, positions) means and tables there.

        Everything here is exact: what goes in and out of the network are integers below 2^24.
        """
        start, stop, parity = self.latent.steps[index]
        n, _, h, w = y_hat.shape
        M, _, E = self._code_context.shape
        e = self._code_context[np.arange(M), codes].sum(1).clip(-255, 255)
        x = np.empty((n, stop + E + 1, h, w), dtype=np.float32)
        x[:, :stop] = y_hat[:, :stop]
        x[:, stop : stop + E] = e[:, :, None, None]
        x[:, stop + E] = quality - 50
        channels = stop - start
        network = self._context[index]
        y = run_tiled(network, x, _CONTEXT, channels=2 * channels)
        where: NDArray[np.bool_] = np.ones((h, w), dtype=np.bool_)
        if parity >= 0:
            where = (np.arange(h)[:, None] + np.arange(w)) % 2 == parity
        chosen = y[:, :, where]
        if chosen.size and (_size(chosen) >= _EXACT or (np.floor(chosen) != chosen).any()):
            raise network.fault("gives numbers that are no exact integers")
        out: Ints = chosen.astype(np.int64)
        table: Ints = out[:, channels:] + self._table_shift[quality]
        return where, out[:, :channels], table.clip(0, len(self.tables) - 1)

    def _place(
        self,
        index: int,
        y_hat: Ints,
        where: NDArray[np.bool_],
        mean: Ints,
        symbols: Ints,
        quality: int,
    ) -> None:
        start, stop, _ = self.latent.steps[index]
        value = mean + symbols * self._step_units[quality]
        y_hat[:, start:stop][:, :, where] = value.clip(-self.latent.limit, self.latent.limit)

    def _draw(self, y_hat: Ints, quality: int) -> Picture:
        n, channels, h, w = y_hat.shape
        x: Array = np.empty((n, channels + 1, h, w), dtype=np.float32)
        x[:, :channels] = y_hat
        x[:, :channels] /= np.float32(self.latent.unit * self.latent.gain)
        x[:, channels] = (quality - 50) / 20
        picture = run_tiled(self._synthesis, x, _SYNTHESIS, channels=3)
        levels = np.rint((picture + np.float32(0.5)).clip(0, 1) * np.float32(255))
        return np.ascontiguousarray(levels.astype(np.uint8).transpose(0, 2, 3, 1))


def _size(values: NDArray[Any]) -> int:
    """Largest size of integers, whatever their type."""
    return max(int(values.max()), -int(values.min()))


def _padded(picture: Picture) -> Picture:
    """Picture grown to multiples of 8 by repeating its last row and column."""
    height, width = picture.shape[:2]
    down, right = -height % STRIDE, -width % STRIDE
    return np.pad(picture, ((0, down), (0, right), (0, 0)), mode="edge")


def _batches(sizes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Rows that can run together: of one padded size, not too many pixels in all."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, (height, width) in enumerate(sizes):
        groups.setdefault((-(-height // STRIDE), -(-width // STRIDE)), []).append(i)
    batches = []
    for (h, w), rows in groups.items():
        most = max(1, _BATCH_PIXELS // (h * w * STRIDE**2))
        batches += [rows[first : first + most] for first in range(0, len(rows), most)]
    return batches
