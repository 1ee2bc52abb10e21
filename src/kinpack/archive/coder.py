"""What an archive needs of a codec, and how it keeps the one that its payloads depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.manifest import Manifest
from kinpack.archive.store import Store
from kinpack.codec.packet import Packet
from kinpack.codec.product_code import ProductQuantizer
from kinpack.errors import ArchiveError
from kinpack.images import Image

Escape: TypeAlias = Literal["auto", "off", "always"]
"""Whether a classic payload may stand in for a learned one: where better, never, always."""


class Coder(Protocol):
    """The part of ``kinpack.codec.codec.Codec`` that an archive uses."""

    @property
    def codec_id(self) -> str:
        """SHA-256 of the codec file, hexadecimal."""

    @property
    def quantizer(self) -> ProductQuantizer:
        """The product code's books."""

    def to_bytes(self) -> bytes:
        """The codec file."""

    def encode(
        self,
        images: Sequence[Image],
        *,
        quality: int = 60,
        escape: Escape = "auto",
        threads: int | None = None,
    ) -> list[Packet]:
        """Code images, each by itself."""

    def decode(self, packets: Sequence[Packet], *, threads: int | None = None) -> list[Image]:
        """Draw packets again, each by itself."""

    def descriptors(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """What is quantised to the product code, shape (images, D)."""


def store_coder(store: Store, coder: Coder, metadata: Mapping[str, Any] | None = None) -> Manifest:
    """Write a codec's file into a new archive.

    Args:
        store: the archive's store.
        coder: the codec.
        metadata: JSON values that the archive is to keep.

    Returns:
        The state of an archive of this codec before its first commit.

    Raises:
        ArchiveError: the file cannot be written, or the codec's identity is not that of its bytes.
    """
    data = coder.to_bytes()
    codec_id = hashlib.sha256(data).hexdigest()
    if codec_id != coder.codec_id:
        raise ArchiveError(
            f"{store.where('')}: the codec calls itself {coder.codec_id}, but its bytes are "
            f"{codec_id}; load it again from its file"
        )
    manifest = Manifest.unborn(codec_id, len(data), metadata)
    store.create(manifest.codec_file, data)
    return manifest


def read_codec(store: Store, manifest: Manifest) -> bytes:
    """Read the file of the codec that an archive's payloads depend on, its identity checked.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    data = store.read_range(manifest.codec_file, 0, manifest.codec_bytes)
    if (
        store.size(manifest.codec_file) != len(data)
        or hashlib.sha256(data).hexdigest() != manifest.codec
    ):
        raise ArchiveError(
            f"{store.where(manifest.codec_file)}: the codec is damaged; restore the file from a "
            "copy"
        )
    return data


def load_coder(store: Store, manifest: Manifest) -> Coder:
    """Read the codec that an archive's payloads depend on, its identity checked.

    Raises:
        ArchiveError: the codec's file is missing or damaged.
        CodecError: this version cannot read it.
    """
    data = read_codec(store, manifest)

    from kinpack.codec.codec import Codec

    codec: Coder = Codec.from_bytes(data, where=store.where(manifest.codec_file))
    return codec
