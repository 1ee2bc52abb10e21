"""Learned payloads: pictures to coded latents and back.

```
 picture ─▶ analysis ─▶ y ─▶ latent coder ─▶ payload
                                  │
                                  ▼  ŷ, integers ─▶ synthesis, integers ─▶ picture
```
The analysis is in floating point: the same picture may give different payloads on different
machines. All that a payload becomes is integer arithmetic, so that it gives the same pixels on all.

Pictures of more than `TILE` pixels a side are coded in tiles, each a message of its own, and drawn
with the latents of neighbouring tiles in sight (`synthesis_window`), so that there are no seams.
Beside the picture itself only some rows of latents are held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.learned.latent_coder import Ints
from kinpack.codec.learned.synthesis_window import SynthesisWindow
from kinpack.entropy.varint import read_varint, write_varint
from kinpack.errors import ImageError, PayloadError
from kinpack.networks.integer_network import IntegerNetwork
from kinpack.networks.networks import Array, Network, run_tiled
from kinpack.networks.tiling import Tiling, pieces

STRIDE = 8
"""Pixels that one latent position stands for, along a side."""
MAX_SIDE = 4096
"""Longest side, in pixels, that learned payloads take."""
TILE = 512
"""Longest side, in pixels, of what is coded in one message."""

_BATCH_PIXELS = 1 << 18
_ANALYSIS = Tiling(tile=256, halo=72, down=STRIDE)
_SYNTHESIS = Tiling(tile=32, halo=8, up=STRIDE)

Picture = NDArray[np.uint8]
Qualities = int | Sequence[int] | Ints


class LatentNumbers(Protocol):
    """What is asked of the numbers of a latent format."""

    @property
    def channels(self) -> int:
        """Latent channels."""

    @property
    def unit(self) -> int:
        """Integer units in one unit of ``y``."""

    @property
    def limit(self) -> int:
        """Latents are clipped to ± so many units."""

    @property
    def gain(self) -> float:
        """Constant factor between analysis output and ``y``."""


class Latents(Protocol):
    """What codes latents on their integer grid; `LatentCoder` says what each method does."""

    @property
    def latent(self) -> LatentNumbers:
        """Numbers of the latent format."""

    def encode(
        self, y: NDArray[np.float64], codes: NDArray[np.uint8], *, quality: Ints
    ) -> tuple[Ints, list[bytes]]:
        """Quantise and code latents."""

    def decode(
        self,
        messages: Sequence[bytes],
        codes: NDArray[np.uint8],
        *,
        size: tuple[int, int],
        quality: Ints,
    ) -> Ints:
        """Decode messages of latents of one size."""

    def symbols(
        self, y: NDArray[np.float64], codes: NDArray[np.uint8], *, quality: Ints
    ) -> tuple[Ints, Ints]:
        """Symbols and their tables."""


class LearnedCoder:
    """Encodes and decodes learned payloads.

    Args:
        latents: codes latents.
        analysis: picture to ``y``; input (n, 4, H, W), RGB −0.5..0.5 and the quality plane.
        synthesis: integer latents to levels; input (n, channels + 1, h, w), ŷ and quality − 50,
            output (n, 3, 8h, 8w) of 0 to 255.

    Raises:
        CodecError: the synthesis is another sort of network.
    """

    def __init__(self, latents: Latents, *, analysis: Network, synthesis: IntegerNetwork) -> None:
        self.latents, self.latent = latents, latents.latent
        synthesis.check_fits(_SYNTHESIS, takes=self.latent.channels + 1, gives=3)
        low, high = synthesis.layers.bounds
        if low < 0 or high > 255:
            raise synthesis.fault("gives levels beyond 0 to 255")
        self._analysis, self._synthesis = analysis, synthesis

    def encode(
        self,
        pictures: Sequence[Picture],
        codes: NDArray[np.uint8],
        *,
        quality: Qualities,
        draw: bool = True,
    ) -> tuple[list[bytes], list[Picture]]:
        """Encode pictures and draw them again.

        Args:
            pictures: uint8 (H, W, 3) each, sides 1 to 4096.
            codes: (n, M) sub-indices of each.
            quality: 1 to 99, of all or of each.
            draw: whether the pictures drawn are wanted.

        Returns:
            The payloads, and the pictures that any decoder will draw of them (or none).

        Raises:
            ImageError: a picture is larger than 4096 pixels.
        """
        for picture in pictures:
            if max(picture.shape[:2]) > MAX_SIDE:
                raise ImageError(
                    f"a picture of {picture.shape[1]}×{picture.shape[0]} pixels is too large for "
                    f"learned payloads ({MAX_SIDE} a side); reduce it, or allow classic payloads"
                )
        q = _each(quality, len(pictures))
        payloads: list[bytes] = [b""] * len(pictures)
        drawn: list[Picture] = [np.zeros((0, 0, 3), np.uint8)] * len(pictures) if draw else []
        sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
        for rows in _batches(sizes):
            if max(sizes[rows[0]]) > TILE:
                (i,) = rows
                payloads[i], large = self._encode_large(pictures[i], codes[rows], q[rows], draw)
                if large is not None:
                    drawn[i] = large
                continue
            y = self._latents(np.stack([_padded(pictures[i]) for i in rows]), q[rows])
            y_hat, messages = self.latents.encode(y, codes[rows], quality=q[rows])
            for i, message in zip(rows, messages, strict=True):
                payloads[i] = message
            if draw:
                for i, picture in zip(rows, self._draw(y_hat, q[rows]), strict=True):
                    drawn[i] = picture[: sizes[i][0], : sizes[i][1]]
        return payloads, drawn

    def decode(
        self,
        payloads: Sequence[bytes],
        codes: NDArray[np.uint8],
        *,
        sizes: Sequence[tuple[int, int]],
        quality: Qualities,
    ) -> list[Picture]:
        """Draw the pictures of payloads.

        Args:
            payloads: as ``encode`` gave them.
            codes: (n, M) sub-indices of each.
            sizes: (height, width) of each picture.
            quality: at which all, or each, were encoded.

        Returns:
            uint8 (H, W, 3) pictures, the same bytes on every machine.

        Raises:
            PayloadError: a payload is damaged, or states a picture larger than 4096 pixels.
        """
        for height, width in sizes:
            if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
                raise PayloadError(
                    f"a learned payload states {width}×{height} pixels, its sides go from 1 to "
                    f"{MAX_SIDE}; it is damaged: take the image from a backup"
                )
        q = _each(quality, len(payloads))
        pictures: list[Picture] = [np.zeros((0, 0, 3), np.uint8)] * len(payloads)
        for rows in _batches(sizes):
            if max(sizes[rows[0]]) > TILE:
                (i,) = rows
                pictures[i] = self._decode_large(payloads[i], codes[rows], sizes[i], q[rows])
                continue
            messages = [payloads[i] for i in rows]
            size = sizes[rows[0]]
            y_hat = self.decode_latents(messages, codes[rows], size=size, quality=q[rows])
            for i, picture in zip(rows, self._draw(y_hat, q[rows]), strict=True):
                pictures[i] = picture[: sizes[i][0], : sizes[i][1]]
        return pictures

    def encode_latents(
        self, pictures: Picture, codes: NDArray[np.uint8], *, quality: Qualities
    ) -> tuple[Ints, list[bytes]]:
        """Dequantised latents and messages of pictures of one size, each in one piece.

        Args:
            pictures: uint8 (n, H, W, 3), sides multiples of 8.
            codes: (n, M) sub-indices of each.
            quality: 1 to 99, of all or of each.

        Returns:
            ŷ (n, channels, H/8, W/8) in units, and the messages.
        """
        q = _each(quality, len(pictures))
        return self.latents.encode(self._latents(pictures, q), codes, quality=q)

    def decode_latents(
        self,
        messages: Sequence[bytes],
        codes: NDArray[np.uint8],
        *,
        size: tuple[int, int],
        quality: Qualities,
    ) -> Ints:
        """Dequantised latents of messages of pictures of one size, each in one piece.

        Args:
            messages: as ``encode_latents`` gave them.
            codes: (n, M) sub-indices of each.
            size: (height, width) of the pictures, up to padding.
            quality: at which all, or each, were encoded.

        Returns:
            ŷ (n, channels, h, w) in units.

        Raises:
            PayloadError: a message is damaged.
        """
        h, w = (-(-side // STRIDE) for side in size)
        q = _each(quality, len(messages))
        return self.latents.decode(messages, codes, size=(h, w), quality=q)

    def symbols(
        self, pictures: Picture, codes: NDArray[np.uint8], *, quality: Qualities
    ) -> tuple[Ints, Ints]:
        """Symbols and their tables, as the tables are learned from them.

        Args:
            pictures: uint8 (n, H, W, 3), sides multiples of 8.
            codes: (n, M) sub-indices of each.
            quality: 1 to 99, of all or of each.

        Returns:
            Two (s,) int64 arrays: the symbols of all pictures and the number of each one's table.
        """
        q = _each(quality, len(pictures))
        return self.latents.symbols(self._latents(pictures, q), codes, quality=q)

    def _latents(self, pictures: Picture, quality: Ints) -> NDArray[np.float64]:
        x = _normalised(pictures, quality)
        return self._units(run_tiled(self._analysis, x, _ANALYSIS, channels=self.latent.channels))

    def _units(self, y: Array) -> NDArray[np.float64]:
        units = y.astype(np.float64) * (self.latent.gain * self.latent.unit)
        # No ŷ lies beyond the limit; symbols stay within the coder's range.
        return units.clip(-self.latent.limit, self.latent.limit)

    def _draw(self, y_hat: Ints, quality: Ints) -> Picture:
        n, channels, h, w = y_hat.shape
        x: Array = np.empty((n, channels + 1, h, w), dtype=np.float32)
        x[:, :channels] = y_hat
        x[:, channels] = (quality - 50)[:, None, None]
        return self._paint(x)

    def _paint(self, x: Array) -> Picture:
        levels = run_tiled(self._synthesis, x, _SYNTHESIS, channels=3)
        return np.ascontiguousarray(levels.astype(np.uint8).transpose(0, 2, 3, 1))

    def _encode_large(
        self, picture: Picture, code: NDArray[np.uint8], quality: Ints, draw: bool
    ) -> tuple[bytes, Picture | None]:
        """Payload of a picture in tiles, and the picture drawn, if it is wanted."""
        size = (picture.shape[0], picture.shape[1])
        window = self._window(size, quality) if draw else None
        messages = []
        for top, bottom in _spans(size[0]):
            for left, right in _spans(size[1]):
                y = self._latents_of_tile(picture, (top, bottom, left, right), quality)
                y_hat, (message,) = self.latents.encode(y, code, quality=quality)
                messages.append(write_varint(len(message)) + message)
                if window is not None:
                    window.put(left // STRIDE, y_hat)
            if window is not None:
                window.end_row((bottom - top) // STRIDE)
        return b"".join(messages), window.picture if window is not None else None

    def _latents_of_tile(
        self, picture: Picture, tile: tuple[int, int, int, int], quality: Ints
    ) -> NDArray[np.float64]:
        """``y`` of a tile of a picture, which is seen around the tile too."""
        top, bottom, left, right = tile
        shape = (1, self.latent.channels, (bottom - top) // STRIDE, (right - left) // STRIDE)
        y: Array = np.empty(shape, dtype=np.float32)
        whole = (_whole(picture.shape[0]), _whole(picture.shape[1]))
        for piece in pieces(whole, _ANALYSIS, region=tile):
            part = _padded(picture[piece.source])
            made = run_tiled(
                self._analysis,
                _normalised(part[None], quality),
                _ANALYSIS,
                channels=self.latent.channels,
            )
            y[:, :, *piece.place] = made[:, :, *piece.kept]
        return self._units(y)

    def _decode_large(
        self, payload: bytes, code: NDArray[np.uint8], size: tuple[int, int], quality: Ints
    ) -> Picture:
        """Draw a picture of a payload in tiles."""
        window = self._window(size, quality)
        at = 0
        for top, bottom in _spans(size[0]):
            for left, right in _spans(size[1]):
                length, at = read_varint(payload, at)
                message, at = payload[at : at + length], at + length
                tile = ((bottom - top) // STRIDE, (right - left) // STRIDE)
                y_hat = self.latents.decode([message], code, size=tile, quality=quality)
                window.put(left // STRIDE, y_hat)
            window.end_row((bottom - top) // STRIDE)
        if at != len(payload):
            raise PayloadError(
                "a payload is damaged: its tiles do not fill it; restore the archive from a copy"
            )
        return window.picture

    def _window(self, size: tuple[int, int], quality: Ints) -> SynthesisWindow:
        return SynthesisWindow(
            lambda x: self._paint(x)[0],
            _SYNTHESIS,
            channels=self.latent.channels,
            rows=TILE // STRIDE,
            size=size,
            plane=int(quality[0]) - 50,
        )


def _normalised(pictures: Picture, quality: Ints) -> Array:
    """Input of the analysis, (n, 4, H, W): RGB −0.5..0.5 and the quality plane."""
    n, height, width, _ = pictures.shape
    x: Array = np.empty((n, 4, height, width), dtype=np.float32)
    x[:, :3] = pictures.transpose(0, 3, 1, 2)
    x[:, :3] /= 255
    x[:, :3] -= 0.5
    x[:, 3] = ((quality - 50) / 20)[:, None, None]
    return x


def _each(quality: Qualities, n: int) -> Ints:
    """Quality of each of n pictures."""
    return np.broadcast_to(np.asarray(quality, dtype=np.int64), (n,))


def _padded(picture: Picture) -> Picture:
    """Picture grown to multiples of 8 by repeating its last row and column."""
    height, width = picture.shape[:2]
    down, right = -height % STRIDE, -width % STRIDE
    if not (down or right):
        return picture
    return np.pad(picture, ((0, down), (0, right), (0, 0)), mode="edge")


def _whole(side: int) -> int:
    """A side grown to a multiple of 8."""
    return -(-side // STRIDE) * STRIDE


def _spans(side: int) -> list[tuple[int, int]]:
    """First and one past the last pixel of each tile along a side grown to a multiple of 8."""
    whole = _whole(side)
    return [(first, min(first + TILE, whole)) for first in range(0, whole, TILE)]


def _batches(sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Rows that can run together: of one padded size, not too many pixels; large ones alone."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, (height, width) in enumerate(sizes):
        groups.setdefault((-(-height // STRIDE), -(-width // STRIDE)), []).append(i)
    batches = []
    for (h, w), rows in groups.items():
        large = max(h, w) * STRIDE > TILE
        most = 1 if large else max(1, _BATCH_PIXELS // (h * w * STRIDE**2))
        batches += [rows[first : first + most] for first in range(0, len(rows), most)]
    return batches
