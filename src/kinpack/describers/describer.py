"""The describer: a small network, shipped as a file, that makes product codes for search alone.

A codec's own product code is what its payloads depend on, and takes few bytes of it. A describer
depends on nothing and nothing on it: its codes find a picture's kin, and are kept in files of their
own. Step by step:

1. Reduce the picture to side × side cells (``area_reduction``: RGBA on white, grey
   replicated, any shape; a smaller picture is enlarged by the same rule), and divide by 255.
2. Run the network: latents z_e, float32 (D,).
3. Name the nearest word of every book (``ProductQuantiser.encode``).

Step 1 is the same number on every machine. Step 2 is computed in floating point, one picture a run
on one thread: on one machine a picture has the same latents alone, in any batch and under any
number of threads; another machine may round otherwise, and then rarely name another word of nearly
the same distance. That changes no pixel, and the order of hits no more than such a word does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.descriptor import area_reduction
from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import CodecError
from kinpack.networks.container import DESCRIBER_FILE, Container
from kinpack.networks.file_content import FileContent
from kinpack.networks.networks import OnnxNetwork
from kinpack.pictures.images import Image, ImageLike, as_images

SHIPPED = DESCRIBER_FILE.shipped
"""Describers that come with the package."""
MOST_SIDE = 512
"""Largest side of the pictures that a network may ask for."""


class Describer(FileContent):
    """Turns pictures into product codes for searching.

    A describer is the content of one ``.kine`` file: a network, the books of its codes, and what is
    known of how it was made.

    Attributes:
        describer_id: SHA-256 of the file, in hexadecimal.
        quantiser: the product quantiser of its codes.
        side: cells along each side of the pictures that the network sees.

    Raises:
        CodecError: the content is none of a describer.
    """

    KIND = DESCRIBER_FILE

    def __init__(self, container: Container, data: bytes) -> None:
        super().__init__(container, data)
        self.describer_id = self._sha256
        self.side = self._side()
        books, graph = container.arrays.get("codebooks"), container.blobs.get("network")
        if books is None or graph is None:
            lacking = "the array 'codebooks'" if books is None else "the network 'network'"
            raise CodecError(f"describer {self.name!r} lacks {lacking}; make it anew")
        self.quantiser = ProductQuantiser(books.astype(np.float32))
        self._network = OnnxNetwork(graph, name="network", threads=1, owner="describer")

    def __repr__(self) -> str:
        return f"<Describer {self.name!r}: {self.n_bytes:,} bytes, {self.describer_id[:12]}…>"

    @property
    def code_bytes(self) -> int:
        """Bytes of one packed code."""
        return self.quantiser.code_bytes

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
            CodecError: the network does not run, or gives something else.
        """
        checked = as_images(images)
        described = np.empty((len(checked), self.quantiser.D), np.float32)
        workers = min(threads or os.cpu_count() or 1, len(checked))
        if workers < 2:
            for row, image in enumerate(checked):
                self._describe_one(image, described[row])
        else:
            with ThreadPoolExecutor(workers, thread_name_prefix="kinpack-describe") as pool:
                for _ in pool.map(self._describe_one, checked, described):
                    pass
        return described

    def info(self) -> dict[str, Any]:
        """Plain facts about the describer, for people and machines."""
        return {
            **self.header,
            "M": self.quantiser.M,
            "K": self.quantiser.K,
            "code_bytes": self.code_bytes,
            "describer_id": self.describer_id,
            "describer_bytes": self.n_bytes,
        }

    def _describe_one(self, image: Image, into: NDArray[np.float32]) -> None:
        """Write the latents (D,) of one image."""
        cells = area_reduction(image, self.side) / np.float32(255)
        into[:] = self._network(cells.transpose(2, 0, 1)[None], (1, self.quantiser.D))[0]

    def _side(self) -> int:
        side = self.header.get("side")
        if type(side) is not int or not 1 <= side <= MOST_SIDE:
            raise CodecError(
                f"describer {self.name!r} asks for pictures of side {side!r}, not 1 to "
                f"{MOST_SIDE}; make it anew"
            )
        return side
