"""What an archive needs of a codec, and how it keeps its codec and its embedder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.stores.store import Store
from kinpack.codec.packets.packet import Packet
from kinpack.describers.product_code import ProductQuantizer
from kinpack.errors import ArchiveError
from kinpack.pictures.images import Image

if TYPE_CHECKING:
    from kinpack.codec.packets.rates import Rates
    from kinpack.describers.describer import Embedder

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
        quality: int | Sequence[int] | None = None,
        min_psnr: float | None = None,
        escape: Escape = "auto",
        threads: int | None = None,
    ) -> list[Packet]:
        """Code images, each by itself."""

    def encode_measured(
        self,
        images: Sequence[Image],
        *,
        quality: int | Sequence[int] | None = None,
        min_psnr: float | None = None,
        escape: Escape = "auto",
        threads: int | None = None,
    ) -> tuple[list[Packet], NDArray[np.float64]]:
        """Code images, and measure the PSNR in dB, (n,), of what their packets draw."""

    def rates(
        self,
        images: Sequence[Image],
        *,
        qualities: Sequence[int],
        escape: Escape = "auto",
        threads: int | None = None,
    ) -> Rates:
        """Size and PSNR of images at several qualities."""

    def decode(self, packets: Sequence[Packet], *, threads: int | None = None) -> list[Image]:
        """Draw packets again, each by itself."""

    def descriptors(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """What is quantised to the product code, shape (images, D)."""


def store_coder(
    store: Store,
    coder: Coder,
    metadata: Mapping[str, Any] | None = None,
    embedder: Embedder | None = None,
) -> Manifest:
    """Write a codec's file, and an embedder's, into a new archive.

    Args:
        store: the archive's store.
        coder: the codec.
        metadata: JSON values that the archive is to keep.
        embedder: what makes codes for searching, if any.

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
    manifest = Manifest.unborn(
        codec_id,
        len(data),
        metadata,
        embedder=embedder.embedder_id if embedder else "",
        embedder_bytes=embedder.n_bytes if embedder else 0,
    )
    store.create(manifest.codec_file, data)
    if embedder:
        store.create(manifest.embedder_file, embedder.to_bytes())
    return manifest


def read_codec(store: Store, manifest: Manifest) -> bytes:
    """Read the file of the codec that an archive's payloads depend on, its identity checked.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    return _read_identified(
        store,
        manifest.codec_file,
        manifest.codec_bytes,
        manifest.codec,
        "the codec is damaged; restore the file from a copy",
    )


def read_embedder(store: Store, manifest: Manifest) -> bytes:
    """Read the file of the embedder that an archive is searched by, its identity checked.

    Args:
        store: the archive's store.
        manifest: a state that has an embedder.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    return _read_identified(
        store,
        manifest.embedder_file,
        manifest.embedder_bytes,
        manifest.embedder,
        "the embedder is damaged; restore the file from a copy, or search with --codes codec",
    )


def _read_identified(store: Store, name: str, n_bytes: int, sha256: str, fault: str) -> bytes:
    data = store.read_range(name, 0, n_bytes)
    if store.size(name) != len(data) or hashlib.sha256(data).hexdigest() != sha256:
        raise ArchiveError(f"{store.where(name)}: {fault}")
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


def load_embedder(store: Store, manifest: Manifest) -> Embedder | None:
    """Read the embedder that an archive is searched by, its identity checked.

    Returns:
        The embedder, ``None`` if the archive has none.

    Raises:
        ArchiveError: the embedder's file is missing or damaged, or codes of the archive are of
            another size.
        CodecError: this version cannot read it.
    """
    if not manifest.embedder:
        return None
    data = read_embedder(store, manifest)

    from kinpack.describers.describer import Embedder

    embedder = Embedder.from_bytes(data, where=store.where(manifest.embedder_file))
    for entry in manifest.segments:
        if entry.code_bytes != embedder.code_bytes:
            raise ArchiveError(
                f"{store.where(entry.file)}: the embedder's codes of this segment have "
                f"{entry.code_bytes} bytes each, not {embedder.code_bytes}; make them anew with: "
                "kinpack repair"
            )
    return embedder
