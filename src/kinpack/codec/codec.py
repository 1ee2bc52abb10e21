"""The codec: images to packets and back, with a product code for each."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.classic import Candidate, candidates, decode_classic
from kinpack.codec.container import Container, read_container
from kinpack.codec.descriptor import LinearDescriptor
from kinpack.codec.escape import EscapeRule, features
from kinpack.codec.latent_coder import LatentCoder
from kinpack.codec.latent_format import LatentFormat
from kinpack.codec.learned import MAX_SIDE, LearnedCoder
from kinpack.codec.learned_image import LearnedImages
from kinpack.codec.networks import Engine, Network
from kinpack.codec.packet import Kind, Packet
from kinpack.codec.product_code import ProductQuantizer, pack_codes, unpack_codes
from kinpack.codec.self_test import SelfTest
from kinpack.entropy.tables import FrequencyTables
from kinpack.errors import CodecError, ImageError, PayloadError
from kinpack.images import Image, area_reduction, validate_image
from kinpack.pixel_limit import too_many

SHIPPED = ("default", "classic")
"""Codecs that come with the package."""
DEFAULT_QUALITY = 60
SUFFIX = ".kinc"

_BATCH = 256
_log = logging.getLogger(__name__)

Escape = Literal["auto", "off", "always"]
S = TypeVar("S")
T = TypeVar("T")


class Codec:
    """Turns images into packets and back.

    A codec is the content of one ``.kinc`` file: a descriptor and codebooks for the product code
    and, where it is a learned one, the networks and tables of its payloads.

    Attributes:
        codec_id: SHA-256 of the file, in hexadecimal.
        header: the file's plain values: name, sort, data, seed and so on.
        quantizer: the product quantiser of the code.
    """

    def __init__(
        self,
        container: Container,
        data: bytes,
        *,
        threads: int | None = None,
        engine: Engine | None = None,
        optimise: bool = True,
    ) -> None:
        self._container, self._data, self._threads = container, data, threads
        self._engine, self._optimise = engine, optimise
        self.header = dict(container.header)
        self.codec_id = hashlib.sha256(data).hexdigest()
        self.quantizer = ProductQuantizer(self._array("codebooks").astype(np.float32))
        self._descriptors = self._descriptor()

    @classmethod
    def from_container(cls, container: Container) -> Self:
        """Make a codec of a file's content."""
        return cls(container, container.to_bytes())

    @classmethod
    def from_bytes(
        cls,
        data: bytes,
        *,
        where: str,
        threads: int | None = None,
        engine: Engine | None = None,
        optimise: bool = True,
    ) -> Self:
        """Read a codec file's bytes.

        Args:
            data: the whole file.
            where: its name, for messages.
            threads: of the networks; None leaves the choice to the runtime.
            engine: what runs the networks that decode; None takes onnxruntime, and numpy where that
                fails the file's test packets.
            optimise: whether onnxruntime may rearrange the graphs.

        Raises:
            CodecError: the file is damaged, truncated, newer, or not a codec.
        """
        container = read_container(data, where=where)
        try:
            return cls(container, data, threads=threads, engine=engine, optimise=optimise)
        except CodecError as error:
            raise CodecError(f"{where}: {error}") from error

    @classmethod
    def load(
        cls,
        spec: str | Path,
        *,
        threads: int | None = None,
        engine: Engine | None = None,
        optimise: bool = True,
    ) -> Self:
        """Load a codec.

        Args:
            spec: path of a ``.kinc`` file, or ``"default"`` or ``"classic"``, which are shipped.
            threads: of the networks; None leaves the choice to the runtime.
            engine: what runs the networks that decode; None takes onnxruntime, and numpy where that
                fails the file's test packets.
            optimise: whether onnxruntime may rearrange the graphs.

        Raises:
            CodecError: there is no such file, or it is damaged, truncated or newer.
        """
        if str(spec) in SHIPPED:
            place = resources.files("kinpack") / "codecs" / f"{spec}{SUFFIX}"
            data, where = place.read_bytes(), f"the shipped codec {spec!r}"
            return cls.from_bytes(
                data, where=where, threads=threads, engine=engine, optimise=optimise
            )
        try:
            data = Path(spec).read_bytes()
        except OSError as error:
            raise CodecError(
                f"{spec}: cannot read the codec ({error.strerror}); name a {SUFFIX} file, "
                f"or one of {', '.join(SHIPPED)}"
            ) from error
        return cls.from_bytes(
            data, where=str(spec), threads=threads, engine=engine, optimise=optimise
        )

    @property
    def name(self) -> str:
        """Name that the header gives."""
        return str(self.header.get("name", "unnamed"))

    @property
    def n_bytes(self) -> int:
        """Size of the codec file."""
        return len(self._data)

    @property
    def is_learned(self) -> bool:
        """Whether the codec has learned payloads."""
        return self.header.get("sort") == "learned"

    def to_bytes(self) -> bytes:
        """Return the codec file."""
        return self._data

    def encode(
        self,
        images: Sequence[Image],
        *,
        quality: int = DEFAULT_QUALITY,
        escape: Escape = "auto",
        threads: int | None = None,
    ) -> list[Packet]:
        """Encode images, each by itself.

        Where learned and classic payloads are both tried, the one with the least
        bits + lam(quality) · squared error is kept; with "always", of those that take no more bytes
        than the smallest classic one.

        Args:
            images: uint8 (H, W, C) each, C = 1 grey, 3 RGB, 4 RGBA.
            quality: 1 to 100; 100 is lossless.
            escape: whether classic payloads are tried beside learned ones: "auto" where the codec's
                own prediction says that one may win, "always" for each image, "off" never.
            threads: that work at a time; None takes as many as there are cores.

        Returns:
            A packet for each image.

        Raises:
            ImageError: an array is no image, or too large.
            CodecError: the quality is out of range.
        """
        if not 1 <= quality <= 100:
            raise CodecError(f"quality {quality} is out of range: it goes from 1 to 100")
        if escape not in ("auto", "off", "always"):
            raise CodecError(f"escape {escape!r} is not known: use auto, off or always")
        whole = [validate_image(image, f"image {i}") for i, image in enumerate(images)]
        for i, image in enumerate(whole):  # what is encoded can be drawn again
            if what := too_many(image.shape[1], image.shape[0]):
                raise ImageError(f"image {i}: {what}")
        packets: list[Packet] = []
        for first in range(0, len(whole), _BATCH):
            packets += self._encode(whole[first : first + _BATCH], quality, escape, threads)
        return packets

    def decode(self, packets: Sequence[Packet], *, threads: int | None = None) -> list[Image]:
        """Draw the images of packets.

        Args:
            packets: of this codec.
            threads: that work at a time; None takes as many as there are cores.

        Returns:
            uint8 (H, W, C) for each packet.

        Raises:
            PayloadError: a payload is damaged, or states more pixels than the limit
                (`kinpack.pixel_limit`).
            CodecError: a packet needs a learned codec, and this is none.
        """
        for packet in packets:
            if what := too_many(packet.width, packet.height):
                raise PayloadError(f"a packet of {len(packet.payload)} bytes states {what}")
        images: list[Image | None] = [None] * len(packets)
        learned: list[int] = []
        classic: list[int] = []
        for i, packet in enumerate(packets):
            (learned if packet.kind is Kind.LEARNED else classic).append(i)
        for first in range(0, len(learned), _BATCH):
            part = learned[first : first + _BATCH]
            drawn = self._decode_learned([packets[i] for i in part], threads)
            for i, image in zip(part, drawn, strict=True):
                images[i] = image
        drawn = _map(_decode_classic, [packets[i] for i in classic], threads)
        for i, image in zip(classic, drawn, strict=True):
            images[i] = image
        return [image for image in images if image is not None]

    def descriptors(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Describe images by what the product code quantises.

        Args:
            images: uint8 (H, W, C) each.

        Returns:
            (n, D) float32.
        """
        if not images:
            return np.zeros((0, self.quantizer.D), dtype=np.float32)
        return self._descriptors(images)

    def embed(self, images: Sequence[Image]) -> NDArray[np.uint8]:
        """Product codes of images.

        Args:
            images: uint8 (H, W, C) each.

        Returns:
            (n, M) uint8; entry (i, m) is the word of book m for image i.
        """
        return self.quantizer.encode(self.descriptors(images))

    def learned_coder(self) -> LearnedCoder:
        """Coder of learned payloads.

        Raises:
            CodecError: the codec has none.
        """
        if not self.is_learned:
            raise CodecError(
                f"codec {self.name!r} has no learned payloads; use escape 'auto' or 'always'"
            )
        return self._learned.coder

    def untested_coder(self, *, engine: Engine = "onnxruntime") -> LearnedCoder:
        """Coder of learned payloads whose decoding networks run in an engine, not yet tested.

        Args:
            engine: what runs them; what only encodes runs in onnxruntime.

        Raises:
            CodecError: the codec's parts do not fit together.
        """
        latent = LatentFormat.from_dict(self.header.get("latent", {}))
        code_context = self._integers("code_context")
        if code_context.shape[:2] != (self.quantizer.M, self.quantizer.K):
            raise CodecError(
                f"the product code of codec {self.name!r} does not fit its payloads; make it anew"
            )
        latents = LatentCoder(
            latent,
            context=[self._network(f"context{i}", engine) for i in range(len(latent.steps))],
            code_context=code_context,
            tables=FrequencyTables(
                counts=self._integers("table_counts"),
                starts=self._integers("table_starts"),
                lows=self._integers("table_lows"),
            ),
            step_units=self._integers("step_units"),
            table_shift=self._integers("table_shift"),
            inward_shifts=self._integers("inward_shifts"),
            error_bits=self._array("error_bits").astype(np.float64),
        )
        return LearnedCoder(
            latents,
            analysis=self._network("analysis"),
            synthesis=self._network("synthesis", engine),
        )

    @cached_property
    def _learned(self) -> LearnedImages:
        engines: tuple[Engine, ...] = (self._engine,) if self._engine else ("onnxruntime", "numpy")
        coders = [self.untested_coder(engine=engine) for engine in engines]
        test = SelfTest.from_dict(
            self.header.get("test", {}), M=self.quantizer.M, K=self.quantizer.K
        )
        failures = []
        for engine, coder in zip(engines, coders, strict=True):
            failure = test.failure(coder)
            if failure is None:
                return LearnedImages(coder)
            failures.append(failure)
            _log.warning("kinpack: codec %r in %s: %s", self.name, engine, failure)
        raise failures[0]

    def _network(self, name: str, engine: Engine = "onnxruntime") -> Network:
        graph = self._container.blobs.get(name)
        if graph is None:
            raise CodecError(f"codec {self.name!r} lacks the network {name!r}; make it anew")
        return Network(
            graph, name=name, threads=self._threads, engine=engine, optimise=self._optimise
        )

    def _array(self, name: str) -> NDArray[Any]:
        array = self._container.arrays.get(name)
        if array is None:
            raise CodecError(f"codec {self.name!r} lacks the array {name!r}; make it anew")
        return array

    def _integers(self, name: str) -> NDArray[np.int64]:
        array = self._array(name)
        if not np.issubdtype(array.dtype, np.integer):
            raise CodecError(
                f"the array {name!r} of codec {self.name!r} does not hold integers; make it anew"
            )
        return array.astype(np.int64)

    def _descriptor(self) -> Callable[[Sequence[Image]], NDArray[np.float32]]:
        if self.header.get("code") == "network":
            network = self._network("code")
            return lambda images: _describe(network, images, self.quantizer.D)
        arrays = {
            key.removeprefix("descriptor_"): value
            for key, value in self._container.arrays.items()
            if key.startswith("descriptor_")
        }
        return LinearDescriptor.from_dict(self.header.get("descriptor", {}), arrays).descriptors

    def _encode(
        self, images: Sequence[Image], quality: int, escape: Escape, threads: int | None
    ) -> list[Packet]:
        codes = self.embed(images)
        packed = pack_codes(codes, K=self.quantizer.K)
        choices: list[list[Candidate]] = [[] for _ in images]
        learned = self.is_learned and quality < 100
        if learned:
            small = [i for i, image in enumerate(images) if max(image.shape[:2]) <= MAX_SIDE]
            made = self._learned.encode(
                [images[i] for i in small],
                codes[small],
                quality=quality,
                draw=escape != "off",
                threads=threads,
            )
            for i, candidate in zip(small, made, strict=True):
                choices[i].append(candidate)
        if not learned or escape != "off":
            trying = self._worth_trying(images, choices, quality, escape)
            tried = _map(lambda i: candidates(images[i], quality=quality), trying, threads)
            for i, more in zip(trying, tried, strict=True):
                choices[i] = (
                    _no_larger(choices[i], more) if escape == "always" else [*choices[i], *more]
                )
        packets = []
        for i, image in enumerate(images):
            if not choices[i]:
                height, width = image.shape[:2]
                raise ImageError(
                    f"an image of {width}×{height} pixels is too large for learned payloads "
                    f"({MAX_SIDE} a side); reduce it, or allow classic payloads"
                )
            best = min(choices[i], key=lambda candidate: candidate.cost(quality))
            packets.append(_packet(image, best, quality, packed[i].tobytes()))
        return packets

    def _worth_trying(
        self,
        images: Sequence[Image],
        choices: Sequence[list[Candidate]],
        quality: int,
        escape: Escape,
    ) -> list[int]:
        """Images that a classic payload is tried for: all, or those where it may win."""
        rule = self._escape_rule
        if escape == "always" or rule is None:
            return list(range(len(images)))
        known = [i for i, choice in enumerate(choices) if choice]
        seen = features([images[i] for i in known], [choices[i][0] for i in known], quality=quality)
        may_win = dict(zip(known, rule.may_win(seen).tolist(), strict=True))
        return [i for i in range(len(images)) if may_win.get(i, True)]

    @cached_property
    def _escape_rule(self) -> EscapeRule | None:
        values = self.header.get("escape")
        return None if values is None else EscapeRule.from_dict(values)

    def _decode_learned(self, packets: Sequence[Packet], threads: int | None) -> list[Image]:
        if not self.is_learned:
            raise CodecError(
                f"codec {self.name!r} has no learned payloads, but a packet is one: "
                "use the codec it was made with"
            )
        width = self.quantizer.code_bytes
        if any(len(packet.code) != width for packet in packets):
            raise PayloadError(f"a packet's code is not {width} bytes long; it is damaged")
        packed = np.frombuffer(b"".join(p.code for p in packets), dtype=np.uint8)
        codes = unpack_codes(packed.reshape(-1, width), self.quantizer.M, K=self.quantizer.K)
        return self._learned.decode(packets, codes, threads=threads)


def _packet(image: Image, candidate: Candidate, quality: int, code: bytes) -> Packet:
    height, width, channels = image.shape
    return Packet(width, height, channels, candidate.kind, quality, code, candidate.payload)


def _no_larger(learned: list[Candidate], classic: list[Candidate]) -> list[Candidate]:
    """Of all candidates those that take no more bytes than the smallest classic one."""
    most = min(len(candidate.payload) for candidate in classic)
    return [candidate for candidate in (*learned, *classic) if len(candidate.payload) <= most]


def _decode_classic(packet: Packet) -> Image:
    return decode_classic(
        packet.kind,
        packet.payload,
        width=packet.width,
        height=packet.height,
        channels=packet.channels,
    )


def _describe(network: Network, images: Sequence[Image], D: int) -> NDArray[np.float32]:
    parts = []
    for first in range(0, len(images), _BATCH):
        reductions = [area_reduction(image, 32) for image in images[first : first + _BATCH]]
        x = np.stack(reductions).transpose(0, 3, 1, 2).astype(np.float32)
        z = network(x / np.float32(255) - np.float32(0.5))
        if z.shape != (len(x), D):
            raise network.fault(f"gives an array of shape {z.shape}, not {(len(x), D)}")
        parts.append(z)
    return np.concatenate(parts)


def _map(function: Callable[[S], T], items: Iterable[S], threads: int | None) -> list[T]:
    """Apply in order, in threads: the image libraries let go of the interpreter's lock."""
    todo = list(items)
    if threads == 1 or len(todo) < 2:
        return [function(item) for item in todo]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, todo))


def describe(codec: Codec) -> dict[str, Any]:
    """Plain facts about a codec, for people and machines."""
    keep = {
        k: v for k, v in codec.header.items() if k not in ("latent", "descriptor", "test", "escape")
    }
    return {**keep, "codec_id": codec.codec_id, "codec_bytes": codec.n_bytes}
