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

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.classic.alpha import decode_alpha, encode_alpha, fill_transparent, join, split
from kinpack.codec.learned.latent_coder import Codes, Ints, LatentCoder
from kinpack.codec.learned.lattice_coder import LatticeCoder
from kinpack.codec.learned.side_code import SideCode
from kinpack.codec.learned.synthesis_window import SynthesisWindow
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.payload import Candidate
from kinpack.entropy.varint import join_parts, split_parts
from kinpack.errors import ImageError, PayloadError
from kinpack.networks.integer_network import ExactNetwork
from kinpack.networks.networks import Array, Network, run_tiled
from kinpack.networks.tiling import Tiling, pieces
from kinpack.pictures.images import Image, squared_error

STRIDE = 8
"""Pixels that one latent position stands for, along a side."""
MAX_SIDE = 4096
"""Longest side, in pixels, that learned payloads take."""
TILE = 512
"""Longest side, in pixels, of what is coded in one message."""

_BATCH_PIXELS = 1 << 17
ANALYSIS = Tiling(tile=256, halo=72, down=STRIDE)
SYNTHESIS = Tiling(tile=32, halo=8, up=STRIDE)

Picture = Image
Qualities = int | Sequence[int] | Ints


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

    def __init__(
        self,
        latents: LatentCoder | LatticeCoder,
        *,
        analysis: Network,
        synthesis: ExactNetwork[Any],
    ) -> None:
        self.latents, self.latent = latents, latents.latent
        synthesis.check_fits(SYNTHESIS, takes=self.latent.channels + 1, gives=3)
        low, high = synthesis.layers.bounds
        if low < 0 or high > 255:
            raise synthesis.fault("gives levels beyond 0 to 255")
        self.analysis, self.synthesis = analysis, synthesis

    def encode(
        self,
        pictures: Sequence[Picture],
        codes: Codes = None,
        *,
        quality: Qualities,
        draw: bool = True,
    ) -> tuple[list[bytes], list[Picture]]:
        """Encode pictures and draw them again.

        Args:
            pictures: uint8 (H, W, 3) each, sides 1 to 4096.
            codes: (n, M) sub-indices of each, where the context of latents has codes in it.
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
        q = np.full(len(pictures), quality)
        payloads: list[bytes] = [b""] * len(pictures)
        drawn: list[Picture] = [np.zeros((0, 0, 3), np.uint8)] * len(pictures) if draw else []
        sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
        for (h, w), rows in _batches(sizes):
            if max(h, w) * STRIDE > TILE:
                (i,) = rows
                payloads[i], large = self._encode_large(
                    pictures[i], _some(codes, rows), q[rows], draw
                )
                if large is not None:
                    drawn[i] = large
                continue
            y = self.analyse([pictures[i] for i in rows], q[rows])
            y_hat, messages = self.latents.encode(y, _some(codes, rows), quality=q[rows])
            for i, message in zip(rows, messages, strict=True):
                payloads[i] = message
            if draw:
                for i, picture in zip(rows, self._draw(y_hat, q[rows]), strict=True):
                    drawn[i] = picture[: sizes[i][0], : sizes[i][1]]
        return payloads, drawn

    def decode(
        self,
        payloads: Sequence[bytes],
        codes: Codes = None,
        *,
        sizes: Sequence[tuple[int, int]],
        quality: Qualities,
    ) -> list[Picture]:
        """Draw the pictures of payloads.

        Args:
            payloads: as ``encode`` gave them.
            codes: (n, M) sub-indices of each, as for ``encode``.
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
        q = np.full(len(payloads), quality)
        pictures: list[Picture] = [np.zeros((0, 0, 3), np.uint8)] * len(payloads)
        for (h, w), rows in _batches(sizes):
            if max(h, w) * STRIDE > TILE:
                (i,) = rows
                pictures[i] = self._decode_large(payloads[i], _some(codes, rows), sizes[i], q[rows])
                continue
            messages = [payloads[i] for i in rows]
            y_hat = self.latents.decode(messages, _some(codes, rows), size=(h, w), quality=q[rows])
            for i, picture in zip(rows, self._draw(y_hat, q[rows]), strict=True):
                pictures[i] = picture[: sizes[i][0], : sizes[i][1]]
        return pictures

    def analyse(
        self, pictures: Sequence[Picture] | Picture, quality: Qualities
    ) -> NDArray[np.float64]:
        """``y`` of pictures, as the coder of latents takes it.

        Args:
            pictures: uint8 (H, W, 3) each; grown to multiples of 8, by repeating the last row and
                column, they are of one size.
            quality: 1 to 99, of all or of each.

        Returns:
            (n, channels, ⌈H/8⌉, ⌈W/8⌉) in units, within ±limit.
        """
        n = len(pictures)
        h, w = (-(-side // STRIDE) for side in pictures[0].shape[:2])
        x: Array = np.empty((n, 4, STRIDE * h, STRIDE * w), dtype=np.float32)
        for one, picture in zip(x, pictures, strict=True):
            height, width, _ = picture.shape
            one[:3, :height, :width] = picture.transpose(2, 0, 1)
            one[:3, height:, :width] = one[:3, height - 1 : height, :width]
            one[:3, :, width:] = one[:3, :, width - 1 : width]
        x[:, :3] /= 255
        x[:, :3] -= 0.5
        x[:, 3] = ((np.full(n, quality) - 50) / 20)[:, None, None]
        y = run_tiled(self.analysis, x, ANALYSIS, channels=self.latent.channels)
        units = y.astype(np.float64) * (self.latent.gain * self.latent.unit)
        # No ŷ lies beyond the limit; symbols stay within the coder's range.
        return units.clip(-self.latent.limit, self.latent.limit)

    def _draw(self, y_hat: NDArray[Any], quality: Ints) -> Picture:
        """Pictures (n, 8h, 8w, 3) of ŷ."""
        n, channels, h, w = y_hat.shape
        x: Array = np.empty((n, channels + 1, h, w), dtype=np.float32)
        x[:, :channels] = y_hat
        x[:, channels] = (quality - 50)[:, None, None]
        levels = run_tiled(self.synthesis, x, SYNTHESIS, channels=3)
        return np.ascontiguousarray(levels.astype(np.uint8).transpose(0, 2, 3, 1))

    def _encode_large(
        self, picture: Picture, code: Codes, quality: Ints, draw: bool
    ) -> tuple[bytes, Picture | None]:
        """Payload of a picture in tiles, and the picture drawn, if it is wanted."""
        size = (picture.shape[0], picture.shape[1])
        window = self._window(size, quality) if draw else None
        messages = []
        for top, bottom in _spans(size[0]):
            for left, right in _spans(size[1]):
                y = self._latents_of_tile(picture, (top, bottom, left, right), quality)
                y_hat, (message,) = self.latents.encode(y, code, quality=quality)
                messages.append(message)
                if window is not None:
                    window.put(left // STRIDE, y_hat)
            if window is not None:
                window.end_row((bottom - top) // STRIDE)
        return join_parts(messages), window.picture if window is not None else None

    def _latents_of_tile(
        self, picture: Picture, tile: tuple[int, int, int, int], quality: Ints
    ) -> NDArray[np.float64]:
        """``y`` of a tile of a picture, which is seen around the tile too."""
        top, bottom, left, right = tile
        shape = (1, self.latent.channels, (bottom - top) // STRIDE, (right - left) // STRIDE)
        y = np.empty(shape)
        whole = (_whole(picture.shape[0]), _whole(picture.shape[1]))
        for piece in pieces(whole, ANALYSIS, region=tile):
            part = self.analyse([picture[piece.source]], quality)
            y[:, :, *piece.place] = part[:, :, *piece.kept]
        return y

    def _decode_large(
        self, payload: bytes, code: Codes, size: tuple[int, int], quality: Ints
    ) -> Picture:
        """Draw a picture of a payload in tiles."""
        window = self._window(size, quality)
        across = _spans(size[1])
        messages = iter(split_parts(payload, len(_spans(size[0])) * len(across)))
        for top, bottom in _spans(size[0]):
            for left, right in across:
                tile = ((bottom - top) // STRIDE, (right - left) // STRIDE)
                y_hat = self.latents.decode([next(messages)], code, size=tile, quality=quality)
                window.put(left // STRIDE, y_hat)
            window.end_row((bottom - top) // STRIDE)
        return window.picture

    def _window(self, size: tuple[int, int], quality: Ints) -> SynthesisWindow:
        return SynthesisWindow(
            lambda y_hat: self._draw(y_hat, quality)[0],
            SYNTHESIS,
            channels=self.latent.channels,
            rows=TILE // STRIDE,
            size=size,
        )


class LearnedImages:
    """Puts grey and transparent images through a coder of RGB pictures: a `Payload`.

    Grey is coded as RGB and averaged on the way back. Alpha is coded exactly, before the colour.

    Args:
        coder: of RGB pictures.
        side: makes and reads the codes that go before messages; None where the codec has none.
    """

    kinds = (Kind.LEARNED,)
    at_once = 64

    def __init__(self, coder: LearnedCoder, side: SideCode | None = None) -> None:
        self.coder, self._side = coder, side

    def takes(self, image: Image) -> bool:
        """Whether an image is small enough."""
        height, width, _ = image.shape
        return bool(max(height, width) <= MAX_SIDE)

    def encode(
        self,
        images: Sequence[Image],
        qualities: Sequence[int],
        *,
        draw: bool = True,
    ) -> list[Candidate]:
        """Encode images; without ``draw`` no error is counted."""
        pictures = [
            fill_transparent(image[:, :, :3], image[:, :, 3])
            if image.shape[2] == 4
            else np.broadcast_to(image, (*image.shape[:2], 3))
            for image in images
        ]
        side = self._side
        codes = None if side is None else side.codes(images)
        payloads, drawn = self.coder.encode(pictures, codes, quality=qualities, draw=draw)
        if side is not None and codes is not None:
            payloads = side.before(codes, payloads)
        made = []
        for i, (image, payload) in enumerate(zip(images, payloads, strict=True)):
            if image.shape[2] == 4:
                payload = join(encode_alpha(image[:, :, 3]), payload)
            error = 0.0
            if draw:
                picture = drawn[i]
                if image.shape[2] == 4:
                    picture = np.dstack([picture, image[:, :, 3]])
                elif image.shape[2] == 1:
                    picture = _grey(picture)
                error = squared_error(image, picture)
            made.append(Candidate(Kind.LEARNED, payload, error))
        return made

    def decode(self, packets: Sequence[Packet]) -> list[Image]:
        """Draw the images of learned packets."""
        sizes = [(packet.height, packet.width) for packet in packets]
        parts = [split(p.payload) if p.channels == 4 else (b"", p.payload) for p in packets]
        qualities = [packet.quality for packet in packets]
        codes, messages = None, [colour for _, colour in parts]
        if self._side is not None:
            codes, messages = self._side.taken_off(messages)
        pictures = self.coder.decode(messages, codes, sizes=sizes, quality=qualities)
        images: list[Image] = []
        for packet, (alpha_part, _), picture in zip(packets, parts, pictures, strict=True):
            if packet.channels == 4:
                alpha = decode_alpha(alpha_part, width=packet.width, height=packet.height)
                images.append(np.dstack([picture, alpha]))
            elif packet.channels == 1:
                images.append(_grey(picture))
            else:
                images.append(np.ascontiguousarray(picture))
        return images


def _some(codes: Codes, rows: Sequence[int]) -> Codes:
    return None if codes is None else codes[list(rows)]


def _grey(picture: Image) -> Image:
    total: NDArray[np.uint16] = picture.astype(np.uint16).sum(2, keepdims=True, dtype=np.uint16)
    return ((total + 1) // 3).astype(np.uint8)


def _whole(side: int) -> int:
    """A side grown to a multiple of 8."""
    return -(-side // STRIDE) * STRIDE


def _spans(side: int) -> list[tuple[int, int]]:
    """First and one past the last pixel of each tile along a side grown to a multiple of 8."""
    whole = _whole(side)
    return [(first, min(first + TILE, whole)) for first in range(0, whole, TILE)]


def _batches(
    sizes: Sequence[tuple[int, int]],
) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Size of latents, and rows that can run together: not too many pixels; large ones alone."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, (height, width) in enumerate(sizes):
        groups.setdefault((-(-height // STRIDE), -(-width // STRIDE)), []).append(i)
    for (h, w), rows in groups.items():
        large = max(h, w) * STRIDE > TILE
        most = 1 if large else max(1, _BATCH_PIXELS // (h * w * STRIDE**2))
        for first in range(0, len(rows), most):
            yield (h, w), rows[first : first + most]
