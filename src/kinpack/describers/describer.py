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

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack import __version__
from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import CodecError, shown
from kinpack.networks.container import DESCRIBER_FILE, Container, read_container
from kinpack.networks.networks import OnnxNetwork
from kinpack.pictures.area_reduction import area_reduction
from kinpack.pictures.images import Image, ImageLike, as_images

SHIPPED = ("kin",)
"""Describers that come with the package."""
SUFFIX = ".kine"
MOST_SIDE = 512
"""Largest side of the pictures that a network may ask for."""


class Describer:
    """Turns pictures into product codes for searching.

    A describer is the content of one ``.kine`` file: a network, the books of its codes, and what is
    known of how it was made.

    Attributes:
        describer_id: SHA-256 of the file, in hexadecimal.
        header: the file's plain values: name, version, data and so on.
        quantiser: the product quantiser of its codes.
        side: cells along each side of the pictures that the network sees.

    Raises:
        CodecError: the content is none of a describer.
    """

    def __init__(self, container: Container, data: bytes) -> None:
        self.header = dict(container.header)
        self.describer_id = hashlib.sha256(data).hexdigest()
        self._data = data
        self.side = self._side()
        books, graph = container.arrays.get("codebooks"), container.blobs.get("network")
        if books is None or graph is None:
            lacking = "the array 'codebooks'" if books is None else "the network 'network'"
            raise CodecError(f"describer {self.name!r} lacks {lacking}; make it anew")
        self.quantiser = ProductQuantiser(books.astype(np.float32))
        self._network = OnnxNetwork(graph, name="network", threads=1, owner="describer")

    @classmethod
    def from_container(cls, container: Container) -> Self:
        """Make a describer of a file's content."""
        return cls(container, container.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Self:
        """Read a describer file's bytes.

        Args:
            data: the whole file.
            where: its name, for messages.

        Raises:
            CodecError: the file is damaged, truncated, newer, or no describer.
        """
        container = read_container(data, where=where, kind=DESCRIBER_FILE)
        try:
            return cls(container, data)
        except CodecError as error:
            raise CodecError(f"{where}: {error}") from error

    @classmethod
    def load(cls, spec: str | os.PathLike[str]) -> Self:
        """Load a describer.

        Args:
            spec: path of a ``.kine`` file, or ``"kin"``, which is shipped.

        Raises:
            CodecError: there is no such file, or it is damaged, truncated or newer.
        """
        if str(spec) in SHIPPED:
            place = resources.files("kinpack") / "describers" / f"{spec}{SUFFIX}"
            try:
                data = place.read_bytes()
            except OSError as error:
                raise CodecError(
                    f"the describer {str(spec)!r} does not come with this kinpack ({__version__}); "
                    f"install one that has it, or name a {SUFFIX} file"
                ) from error
            return cls.from_bytes(data, where=f"the shipped describer {spec!r}")
        try:
            data = Path(spec).read_bytes()
        except (OSError, TypeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CodecError(
                f"{shown(str(spec))}: cannot read the describer ({reason}); name a {SUFFIX} file, "
                f"or {', '.join(SHIPPED)}"
            ) from error
        return cls.from_bytes(data, where=shown(spec))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the bytes of the file, checked again by whoever unpickles them."""
        return partial(type(self).from_bytes, where=self.name), (self._data,)

    def __repr__(self) -> str:
        return f"<Describer {self.name!r}: {self.n_bytes:,} bytes, {self.describer_id[:12]}…>"

    @property
    def name(self) -> str:
        """Name that the header gives."""
        return str(self.header.get("name", "unnamed"))

    @property
    def n_bytes(self) -> int:
        """Size of the describer file."""
        return len(self._data)

    @property
    def code_bytes(self) -> int:
        """Bytes of one packed code."""
        return self.quantiser.code_bytes

    @property
    def mirrored(self) -> bool:
        """Whether a picture and its mirror image have the same latents: the network sees both."""
        return self.header.get("mirrored") is True

    def to_bytes(self) -> bytes:
        """Return the describer file."""
        return self._data

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
