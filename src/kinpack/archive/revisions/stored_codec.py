"""What an archive needs of a codec, and how it keeps its codec and its describer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.stores.store import Store
from kinpack.codec.packets.packet import Packet
from kinpack.describers.describing import Describes
from kinpack.errors import ArchiveError
from kinpack.pictures.images import Image

if TYPE_CHECKING:
    from kinpack.codec.packets.rates import Rates
    from kinpack.codec.packets.target import Target
    from kinpack.describers.describer import Describer

_MOST_BYTES = 1 << 30  # of a codec or describer file: what a manifest claims is a stranger's word


class Codec(Describes, Protocol):
    """The part of ``kinpack.codec.codec.Codec`` that an archive uses."""

    @property
    def codec_id(self) -> str:
        """SHA-256 of the codec file, hexadecimal."""

    def to_bytes(self) -> bytes:
        """The codec file."""

    def encode(self, images: Sequence[Image], target: Target) -> list[Packet]:
        """Code images, each by itself."""

    def encode_measured(
        self, images: Sequence[Image], target: Target
    ) -> tuple[list[Packet], NDArray[np.float64]]:
        """Code images, and measure the PSNR in dB, (n,), of what their packets draw."""

    def rates(self, images: Sequence[Image], qualities: Sequence[int], target: Target) -> Rates:
        """Size and PSNR of images at several qualities."""

    def decode(self, packets: Sequence[Packet], *, threads: int | None = None) -> list[Image]:
        """Draw packets again, each by itself."""


def as_codec(given: Codec | str | os.PathLike[str]) -> Codec:
    """Give a codec as it is, and load one by its name or from its file.

    Raises:
        CodecError: it is none, or cannot be loaded.
    """
    from kinpack.codec.codec import Codec

    made: Any = given
    codec: Codec = made if hasattr(given, "codec_id") else Codec.load(made)
    return codec


def as_describer(given: Describer | str | os.PathLike[str] | None) -> Describer | None:
    """Give a describer, or none, as it is, and load one by its name or from its file.

    Raises:
        CodecError: it is none, or cannot be loaded.
    """
    from kinpack.describers.describer import Describer

    if given is None or isinstance(given, Describer):
        return given
    return Describer.load(given)


def store_files(
    store: Store, codec: bytes, describer: bytes, metadata: Mapping[str, Any] | None = None
) -> Manifest:
    """Write the files of a codec and of a describer into a new archive.

    Args:
        store: the archive's store.
        codec: the codec file.
        describer: the describer file; empty for none.
        metadata: JSON values that the archive is to keep.

    Returns:
        The revision of an archive of them before its first commit.

    Raises:
        ArchiveError: a file cannot be written, or the metadata are no JSON values.
    """
    manifest = Manifest.unborn(
        hashlib.sha256(codec).hexdigest(),
        len(codec),
        metadata,
        describer=hashlib.sha256(describer).hexdigest() if describer else "",
        describer_bytes=len(describer),
    )
    store.create(manifest.codec_file, codec)
    if describer:
        store.create(manifest.describer_file, describer)
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


def read_describer(store: Store, manifest: Manifest) -> bytes:
    """Read the file of the describer that an archive is searched by, its identity checked.

    Args:
        store: the archive's store.
        manifest: a revision that has a describer.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    return _read_identified(
        store,
        manifest.describer_file,
        manifest.describer_bytes,
        manifest.describer,
        "the describer is damaged; restore the file from a copy, or search with --codes codec",
    )


def _read_identified(store: Store, name: str, n_bytes: int, sha256: str, fault: str) -> bytes:
    if n_bytes > _MOST_BYTES:
        raise ArchiveError(f"{store.where(name)}: {fault}")
    data = store.read_range(name, 0, n_bytes)
    if store.size(name) != len(data) or hashlib.sha256(data).hexdigest() != sha256:
        raise ArchiveError(f"{store.where(name)}: {fault}")
    return data


def load_codec(store: Store, manifest: Manifest) -> Codec:
    """Read the codec that an archive's payloads depend on, its identity checked.

    Raises:
        ArchiveError: the codec's file is missing or damaged.
        CodecError: this version cannot read it.
    """
    data = read_codec(store, manifest)

    from kinpack.codec.codec import Codec

    codec: Codec = Codec.from_bytes(data, where=store.where(manifest.codec_file))
    return codec


def load_describer(store: Store, manifest: Manifest) -> Describer | None:
    """Read the describer that an archive is searched by, its identity checked.

    Returns:
        The describer, ``None`` if the archive has none.

    Raises:
        ArchiveError: the describer's file is missing or damaged, or codes of the archive are of
            another size.
        CodecError: this version cannot read it.
    """
    if not manifest.describer:
        return None
    data = read_describer(store, manifest)

    from kinpack.describers.describer import Describer

    describer = Describer.from_bytes(data, where=store.where(manifest.describer_file))
    for entry in manifest.segments:
        if entry.code_bytes != describer.code_bytes:
            raise ArchiveError(
                f"{store.where(entry.file)}: the describer's codes of this segment have "
                f"{entry.code_bytes} bytes each, not {describer.code_bytes}; make them anew with: "
                "kinpack repair"
            )
    return describer
