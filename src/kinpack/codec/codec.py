"""The codec: images to packets and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.choice.classic_rule import ClassicRule
from kinpack.codec.choice.first_look import FirstLook
from kinpack.codec.choice.prediction import Prediction
from kinpack.codec.classic.payloads import ClassicImages
from kinpack.codec.encoding import Encoder
from kinpack.codec.learned.learned import LearnedCoder, LearnedImages
from kinpack.codec.packets.packet import Packet
from kinpack.codec.packets.payload import Payloads
from kinpack.codec.packets.rates import Rates
from kinpack.codec.packets.target import DEFAULT_QUALITY, Target, quality_for_psnr
from kinpack.codec.parts import CodecParts
from kinpack.errors import CodecError
from kinpack.networks.container import CODEC_FILE, Container
from kinpack.networks.file_content import FileContent
from kinpack.networks.networks import Engine
from kinpack.pictures.images import Image, ImageLike, as_images

SHIPPED = CODEC_FILE.shipped
"""Codecs that come with the package."""

_ENOUGH = 8
"""Images that tell of a collection; of so many, one with a learned payload is enough."""

_NO_FACTS = ("latent", "test", "classic_rule", "first_look", "causal_test")
"""Entries of the header that tell people nothing."""


class Codec(FileContent):
    """Turns images into packets and back.

    A codec is the content of one ``.kinc`` file: where it is a learned one, the networks and tables
    of its payloads.

    Args:
        container: the content of the file.
        data: the whole file.
        threads: of the networks; None leaves the choice to the runtime.
        engine: what runs the networks that decode; None takes onnxruntime, and numpy where that
            fails the file's test packets.
        optimise: whether onnxruntime may rearrange the graphs.

    Attributes:
        codec_id: SHA-256 of the file, in hexadecimal.
        parts: what the file holds, checked and made ready.
    """

    KIND = CODEC_FILE

    def __init__(
        self,
        container: Container,
        data: bytes,
        *,
        threads: int | None = None,
        engine: Engine | None = None,
        optimise: bool = True,
    ) -> None:
        super().__init__(container, data, threads=threads, engine=engine, optimise=optimise)
        self.parts = CodecParts(container, threads=threads, engine=engine, optimise=optimise)
        self.codec_id = self._sha256

    @classmethod
    def suiting(cls, images: Iterable[ImageLike], target: Target | None = None) -> Self:
        """Load the shipped codec that suits a collection: ``default``, unless it would do nothing.

        Args:
            images: some of the collection, as for ``encode``; 16 evenly spread ones are plenty.
            target: what the collection is coded to; by default quality 60.

        Returns:
            ``classic``, whose file is 270 times smaller, where of eight images or more fewer than
            an eighth would get a learned payload; else ``default``.

        Raises:
            ImageError: an array is no image, or too large.
        """
        default, asked = cls.load("default"), target or Target()
        seen = as_images(images)
        if asked.classic == "never" or len(seen) < _ENOUGH:
            return default
        quality = asked.quality if isinstance(asked.quality, int) else DEFAULT_QUALITY
        if asked.min_psnr is not None:
            quality = round(min(max(quality_for_psnr(asked.min_psnr), 1), 99))
        at = Target(quality=quality, classic=asked.classic, effort="fast", threads=asked.threads)
        scores = default.prediction.scores(seen, [quality] * len(seen), at)
        coded = [image for image, score in zip(seen, scores, strict=True) if score is None]
        kept = sum(score is not None and score <= 0 for score in scores)
        kept += sum(packet.kind not in ClassicImages.kinds for packet in default.encode(coded, at))
        return default if _ENOUGH * kept >= len(seen) else cls.load("classic")

    def with_threads(self, threads: int) -> Self:
        """Return the same codec, whose networks run on so many threads."""
        return self.from_bytes(
            self.to_bytes(), where=self.name, **{**self._options, "threads": threads}
        )

    def __repr__(self) -> str:
        sort = "learned" if self.is_learned else "classic"
        return f"<Codec {self.name!r}: {sort}, {self.n_bytes:,} bytes, {self.codec_id[:12]}…>"

    @property
    def is_learned(self) -> bool:
        """Whether the codec has learned payloads."""
        return self.header.get("sort") == "learned"

    def encode(
        self, images: Iterable[ImageLike], target: Target | None = None, **asked: Any
    ) -> list[Packet]:
        """Encode images, each by itself, at a quality or to a PSNR.

        At a quality, where learned and classic payloads are both tried, the one with the least
        bits + lam(quality) · squared error is kept; with classic "always", of those that take no
        more bytes than the smallest classic one. To a PSNR (sMIC, eq. 1), each image gets the
        smallest payload found that reaches it, at a quality of its own; see ``encode_measured``.

        Args:
            images: uint8 (H, W, C) each, C = 1 grey, 3 RGB, 4 RGBA, or (H, W) of grey; Pillow
                images or paths of picture files.
            target: what is asked of them; by default quality 60.
            asked: in place of a target its fields, as ``quality=40`` or ``min_psnr=36``.

        Returns:
            A packet for each image.

        Raises:
            ImageError: an array is no image, or too large.
            CodecError: a field of the target is not known or out of range, or it asks for a number
                of bytes, which only a whole archive can keep to.
        """
        asked_for = Target.of(target, asked)
        if asked_for.min_psnr is None:
            return self._encoder.encode(as_images(images), asked_for)
        return self._encoder.encode_to_psnr(as_images(images), asked_for.min_psnr, asked_for)[0]

    def encode_measured(
        self, images: Iterable[ImageLike], target: Target | None = None, **asked: Any
    ) -> tuple[list[Packet], NDArray[np.float64]]:
        """Encode images as ``encode`` does, decode the packets, and measure what they draw.

        With ``min_psnr``, an image whose packet does not draw it that well is kept exactly, and
        with classic "never", too, where no learned payload does.

        Args:
            images: as for ``encode``.
            target: as for ``encode``.
            asked: as for ``encode``.

        Returns:
            A packet for each image, and (n,) float64, the PSNR in dB of each one's picture against
            the image (both on white where there is alpha); infinite where it is exact.

        Raises:
            ImageError: an array is no image, or too large.
            CodecError: as for ``encode``.
        """
        asked_for, images = Target.of(target, asked), as_images(images)
        if asked_for.min_psnr is None:
            packets = self._encoder.encode(images, asked_for)
            return packets, self.psnr(images, packets, threads=asked_for.threads)
        return self._encoder.encode_to_psnr(images, asked_for.min_psnr, asked_for)

    def psnr(
        self, images: Iterable[ImageLike], packets: Sequence[Packet], *, threads: int | None = None
    ) -> NDArray[np.float64]:
        """Measure what packets draw.

        Args:
            images: as they were given to ``encode``.
            packets: of each image.
            threads: workers for classic payloads.

        Returns:
            (n,) float64, PSNR in dB of each one's own picture; infinite where it is exact.
        """
        return self._encoder.psnr(as_images(images), packets, threads)

    def rates(
        self,
        images: Iterable[ImageLike],
        qualities: Sequence[int],
        target: Target | None = None,
        **asked: Any,
    ) -> Rates:
        """Size and PSNR of images at several qualities.

        Args:
            images: as for ``encode``.
            qualities: 1 to 100 each, in any order.
            target: as for ``encode``; its own quality does not count.
            asked: as for ``encode``.

        Raises:
            ImageError: an array is no image, or too large.
            CodecError: a quality is out of range.
        """
        return self._encoder.rates(as_images(images), qualities, Target.of(target, asked))

    def decode(self, packets: Sequence[Packet], *, threads: int | None = None) -> list[Image]:
        """Draw the images of packets.

        Args:
            packets: of this codec.
            threads: that work at a time; None takes as many as there are cores.

        Returns:
            uint8 (H, W, C) for each packet.

        Raises:
            PayloadError: a payload is damaged, or states more pixels than the limit
                (`kinpack.limits`).
            CodecError: a packet needs a learned codec, and this is none.
        """
        if isinstance(packets, Packet):
            raise CodecError("one packet in place of several; give a list: [packet]")
        return self._payloads.decode(packets, threads=threads)

    def info(self) -> dict[str, Any]:
        """Plain facts about the codec, for people and machines."""
        return {
            **{key: value for key, value in self.header.items() if key not in _NO_FACTS},
            "codec_id": self.codec_id,
            "codec_bytes": self.n_bytes,
        }

    def learned_coder(self) -> LearnedCoder:
        """Coder of learned payloads.

        Raises:
            CodecError: the codec has none.
        """
        if not self.is_learned:
            raise CodecError(
                f"codec {self.name!r} has no learned payloads; use classic 'auto' or 'always'"
            )
        return next(one.coder for one in self._payloads.own if isinstance(one, LearnedImages))

    @cached_property
    def _payloads(self) -> Payloads:
        return self.parts.payloads()

    @cached_property
    def prediction(self) -> Prediction:
        """What the codec predicts of images that it codes.

        Raises:
            CodecError: the file's numbers for that are damaged.
        """
        rule, look = self.header.get("classic_rule"), self.header.get("first_look")
        return Prediction(
            None if rule is None else ClassicRule.from_dict(rule),
            None if look is None else FirstLook.from_dict(look),
        )

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self._payloads, self.prediction)
