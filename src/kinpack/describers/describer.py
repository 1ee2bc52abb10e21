"""The describer: a small network, shipped as a file, that makes product codes for search.

No payload depends on a describer: its codes find a picture's kin, and are kept in files of their
own. Step by step:

1. Fit the picture to side × side cells as the file says (``Fitting``: RGBA on white, grey
   replicated, any shape), and divide by 255.
2. Run the network: latents z_e, float32 (D,).
3. Name the nearest word of every book (``ProductQuantiser.encode``).

Step 1 is the same number on every machine. Step 2 is computed in floating point, one picture a run
on one thread: on one machine a picture has the same latents alone, in any batch and under any
number of threads; another machine may round otherwise, and then rarely name another word of nearly
the same distance. That changes no pixel, and the order of hits no more than such a word does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.descriptor import LinearDescriptor
from kinpack.describers.fitting import Fitting
from kinpack.describers.product_code import ProductQuantiser
from kinpack.describers.word_scan import WordScan
from kinpack.describers.words import Vocabulary
from kinpack.errors import CodecError
from kinpack.networks.container import DESCRIBER_FILE, Container
from kinpack.networks.file_content import FileContent
from kinpack.networks.networks import OnnxNetwork
from kinpack.pictures.images import Image, ImageLike, as_images

SHIPPED = DESCRIBER_FILE.shipped
"""Describers that come with the package."""
PLACEHOLDER = 16
"""Side of a picture that is drawn of a code alone."""
_FINE = "fine_"
"""What the names of arrays begin with that belong to longer codes."""
_OF_LATENTS = ("descriptor_", "class_")
"""What the names of arrays begin with that make latents, or tell what they mean."""
MOST_SIDE = 512
"""Largest side of the pictures that a network may ask for."""


class _Projection(NamedTuple):
    """What is taken off latents before they are coded, and the directions that are kept.

    Attributes:
        mean: float32 (E,).
        directions: float32 (E, D).
    """

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]


class Describer(FileContent):
    """Turns pictures into product codes for searching.

    A describer is the content of one ``.kine`` file: a network or learned directions, the books of
    its codes, and what is known of how it was made.

    Attributes:
        describer_id: SHA-256 of the file, in hexadecimal.
        container: what the file holds.
        quantiser: the product quantiser of its codes.
        weights: float32 (M,), of each book in the distance of codes, 0 or more.
        searched: the quantiser whose distances are those of codes: its books are weighted.
        side: cells along each side of the pictures that the network sees.
        fitting: how a picture becomes those cells.
        vocabulary: words that pictures are found by; ``None`` without any.

    Raises:
        CodecError: the content is none of a describer.
    """

    KIND = DESCRIBER_FILE

    def __init__(self, container: Container, data: bytes) -> None:
        super().__init__(container, data)
        self.container = container
        self.describer_id = self._sha256
        self.side = self._side()
        self.fitting = self._fitting()
        books, graph = container.arrays.get("codebooks"), container.blobs.get("network")
        if books is None:
            raise CodecError(f"describer {self.name!r} lacks the array 'codebooks'; make it anew")
        self.quantiser = ProductQuantiser(books.astype(np.float32))
        self._kept = self._projection(container.arrays, self.quantiser.D)
        self.weights = self._weights(container.arrays)
        self.searched = self.quantiser
        if (self.weights != 1).any():
            scale = np.sqrt(self.weights)[:, None, None]
            self.searched = ProductQuantiser(self.quantiser.codebooks * scale)
        self._network: OnnxNetwork | None = None
        if graph is not None:
            self._network = OnnxNetwork(graph, name="network", threads=1, owner="describer")
        self._linear = self._linear_descriptor(container)
        self._decoder: OnnxNetwork | None = None
        if (decoder := container.blobs.get("decoder")) is not None:
            self._decoder = OnnxNetwork(decoder, name="decoder", threads=1, owner="describer")
        self.vocabulary = Vocabulary.from_parts(
            container.blobs.get("words"), container.arrays, size=self._latent_size, owner=self.name
        )

    def __repr__(self) -> str:
        return f"<Describer {self.name!r}: {self.n_bytes:,} bytes, {self.describer_id[:12]}…>"

    @property
    def code_bytes(self) -> int:
        """Bytes of one packed code."""
        return self.quantiser.code_bytes

    @property
    def describes(self) -> bool:
        """Whether it describes pictures; else it has books alone, of vectors made elsewhere."""
        return self._network is not None or self._linear is not None

    def check_describes(self) -> None:
        """See that it describes pictures.

        Raises:
            CodecError: it does not.
        """
        if not self.describes:
            raise CodecError(
                f"describer {self.name!r} describes no pictures: its vectors were made elsewhere; "
                "search by an id or a vector, and give images codes with --vectors"
            )

    @property
    def mirrored(self) -> bool:
        """Whether a picture and its mirror image have the same latents: the network sees both."""
        return self.header.get("mirrored") is True

    def describe(
        self, images: Iterable[ImageLike], *, threads: int | None = None
    ) -> NDArray[np.float32]:
        """Describe images by what the codes quantise, the latents z_e.

        Args:
            images: n images of any sizes, uint8 (H, W, C) each, or what makes one.
            threads: most that work at a time, by default as many as there are cores; the latents
                are the same.

        Returns:
            float32 (n, D); row i describes ``images[i]``.

        Raises:
            ImageError: an array is no image.
            CodecError: it describes no pictures, or the network does not run, or gives something
                else.
        """
        return self.projected(self.latents(images, threads=threads))

    @property
    def turned(self) -> bool:
        """Whether a picture is looked for in its four turns, and in those of its mirror image."""
        return self.header.get("turned") is True

    def poses(self, picture: Image) -> list[Image]:
        """A picture, uint8 (H, W, C), in all turns in which it is looked for."""
        if not self.turned:
            return [picture]
        faces = [picture] if self.mirrored else [picture, picture[:, ::-1]]
        return [np.ascontiguousarray(np.rot90(face, k)) for face in faces for k in range(4)]

    def latents(
        self, images: Iterable[ImageLike], *, threads: int | None = None
    ) -> NDArray[np.float32]:
        """What the network, or the learned directions, give: ``describe`` before the projection.

        Args:
            images: as for ``describe``.
            threads: as for ``describe``.

        Returns:
            float32 (n, E).

        Raises:
            ImageError: an array is no image.
            CodecError: as for ``describe``.
        """
        self.check_describes()
        checked = as_images(images)
        made = np.empty((len(checked), self._latent_size), np.float32)
        workers = min(threads or os.cpu_count() or 1, len(checked))
        if workers < 2:
            for row, image in enumerate(checked):
                self._describe_one(image, made[row])
        else:
            with ThreadPoolExecutor(workers, thread_name_prefix="kinpack-describe") as pool:
                for _ in pool.map(self._describe_one, checked, made):
                    pass
        return made

    def finer(self) -> Describer:
        """The describer of longer codes, by which the nearest of these are ordered anew.

        Raises:
            CodecError: it has none.
        """
        parts = self.container.arrays
        arrays = {name: one for name, one in parts.items() if name.startswith(_OF_LATENTS)}
        for name, one in parts.items():
            if name.startswith(_FINE):
                arrays[name.removeprefix(_FINE)] = one
        if "codebooks" not in arrays:
            raise CodecError(f"describer {self.name!r} has no longer codes; leave --fine")
        kept = ("network", "words", "notices")
        blobs = {name: one for name, one in self.container.blobs.items() if name in kept}
        header = {**self.header, "name": f"{self.name}-fine"}
        return Describer.from_container(Container(header, blobs, arrays, kind=DESCRIBER_FILE))

    @cached_property
    def word_scan(self) -> WordScan:
        """What scores its codes for words; a ``CodecError`` where it knows none."""
        return WordScan(self.words, self.quantiser, self._kept)

    @property
    def words(self) -> Vocabulary:
        """The words that pictures are found by.

        Raises:
            CodecError: it knows none.
        """
        if self.vocabulary is None:
            raise CodecError(
                f"describer {self.name!r} knows no words; make one that does with: kinpack "
                "describer make lite0"
            )
        return self.vocabulary

    def weighted(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors (n, D) as they are compared with the words of ``searched``."""
        d = self.quantiser.D // self.quantiser.M
        return vectors * np.sqrt(self.weights).repeat(d)

    def placeholder(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw pictures of codes alone, blurred: what to show before a payload is there.

        Args:
            codes: uint8 (n, M) sub-indices.

        Returns:
            uint8 (n, 16, 16, 3); a whole picture squeezed to a square.

        Raises:
            CodecError: it has no decoder, or codes that are none.
        """
        if self._decoder is None:
            raise CodecError(f"describer {self.name!r} draws no placeholders: it has no decoder")
        words = self.quantiser.decode(codes)
        drawn = np.empty((len(words), 3, PLACEHOLDER, PLACEHOLDER), np.float32)
        for row, into in zip(words, drawn, strict=True):
            into[:] = self._decoder(row[None], (1, into.size)).reshape(into.shape)
        levels = np.rint(255 * drawn.clip(0, 1)).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(0, 2, 3, 1))

    def bits_used(self, codes: NDArray[np.uint8]) -> float:
        """Bits that a collection's codes (n, M) use: the entropy of each book's words, added up."""
        bits = 0.0
        for book in codes.T:
            p = np.bincount(book, minlength=self.quantiser.K) / max(1, len(book))
            bits -= float((p[p > 0] * np.log2(p[p > 0])).sum())
        return bits

    def projected(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the codes quantise of vectors that were made elsewhere, or of what a network gives.

        Args:
            vectors: float32 (n, E), of the space that the codes were made of.

        Returns:
            float32 (n, D).

        Raises:
            CodecError: they are of another size.
        """
        if self._kept is not None and vectors.shape[1:] != self._kept.mean.shape:
            raise CodecError(
                f"vectors of {vectors.shape[1]} numbers do not fit the codes of describer "
                f"{self.name!r}, which are of {self._latent_size}: use the model that made those"
            )
        return _coded(vectors, self._kept, self.quantiser)

    def info(self) -> dict[str, Any]:
        """Plain facts about the describer, for people and machines."""
        return {
            **self.header,
            **self.fitting.to_dict(),
            "M": self.quantiser.M,
            "K": self.quantiser.K,
            "code_bytes": self.code_bytes,
            **({} if self.vocabulary is None else {"words": len(self.vocabulary.words)}),
            "describer_id": self.describer_id,
            "describer_bytes": self.n_bytes,
        }

    @property
    def _latent_size(self) -> int:
        """Numbers of a latent, before anything is projected."""
        return self.quantiser.D if self._kept is None else len(self._kept.mean)

    def _describe_one(self, image: Image, into: NDArray[np.float32]) -> None:
        """Write the latents (D,) of one image."""
        if self._linear is not None:
            into[:] = self._linear.describe([image])[0]
            return
        if self._network is not None:
            cells = self.fitting.cells(image, self.side) / np.float32(255)
            made = self._network(cells.transpose(2, 0, 1)[None], (1, self._latent_size))
            into[:] = made[0]

    def _linear_descriptor(self, container: Container) -> LinearDescriptor | None:
        """The learned directions of a describer without a network, ``None`` without any."""
        stated = container.header.get("descriptor")
        if stated is None:
            return None
        if self._network is not None or not isinstance(stated, Mapping):
            raise CodecError(f"describer {self.name!r} describes in two ways; make it anew")
        parts = {
            name.removeprefix("descriptor_"): array
            for name, array in container.arrays.items()
            if name.startswith("descriptor_")
        }
        linear = LinearDescriptor.from_dict(stated, parts)
        if self._latent_size != linear.D:
            raise CodecError(
                f"the directions of describer {self.name!r} do not fit its books; make it anew"
            )
        return linear

    def _weights(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        weights = arrays.get("weights")
        if weights is None:
            return np.ones(self.quantiser.M, np.float32)
        if (
            weights.dtype != np.float32
            or weights.shape != (self.quantiser.M,)
            or not np.isfinite(weights).all()
            or weights.min() < 0
            or not weights.any()
        ):
            raise CodecError(
                f"the weights of describer {self.name!r} do not fit its books; make it anew"
            )
        return weights

    def _projection(self, arrays: Mapping[str, NDArray[Any]], size: int) -> _Projection | None:
        """What is kept of latents that are coded by vectors of ``size``; ``None``: all of them."""
        mean, directions = arrays.get("mean"), arrays.get("projection")
        if mean is None and directions is None:
            return None
        if (
            mean is None
            or directions is None
            or mean.dtype != np.float32
            or directions.dtype != np.float32
            or mean.ndim != 1
            or directions.shape != (*mean.shape, size)
            or not (np.isfinite(mean).all() and np.isfinite(directions).all())
        ):
            raise CodecError(
                f"the projection of describer {self.name!r} does not fit its books; make it anew"
            )
        return _Projection(mean, directions)

    def _fitting(self) -> Fitting:
        try:
            return Fitting.from_dict(self.header)
        except CodecError as error:
            raise CodecError(f"describer {self.name!r}: {error}") from error

    def _side(self) -> int:
        side = self.header.get("side")
        if type(side) is not int or not 1 <= side <= MOST_SIDE:
            raise CodecError(
                f"describer {self.name!r} asks for pictures of side {side!r}, not 1 to "
                f"{MOST_SIDE}; make it anew"
            )
        return side


def _coded(
    vectors: NDArray[np.float32], kept: _Projection | None, quantiser: ProductQuantiser
) -> NDArray[np.float32]:
    """What a quantiser codes of vectors (n, E): float32 (n, D)."""
    if kept is None:
        return quantiser.checked(vectors)
    return quantiser.checked((vectors - kept.mean) @ kept.directions)
