"""What an archive needs of a codec, and how it keeps its codec and its describers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.revisions.manifest import DescriberEntry, Manifest, describer_entry
from kinpack.archive.segments.code_file import column_name
from kinpack.archive.stores.store import Store
from kinpack.codec.packets.packet import Packet
from kinpack.errors import ArchiveError
from kinpack.pictures.images import Image
from kinpack.search.distances.distance import SearchError

if TYPE_CHECKING:
    from kinpack.codec.packets.rates import Rates
    from kinpack.codec.packets.target import Target
    from kinpack.describers.describer import Describer

DEFAULT = "look"
"""The describer of a new archive, unless another one is named."""

Described: TypeAlias = "Describer | str | os.PathLike[str]"
"""A describer, the name of one that ships, or the path of its file."""

MOST_CODEC_BYTES = 1 << 30
"""Most bytes of a codec or describer file: what a manifest claims is a stranger's word."""


class Codec(Protocol):
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


@runtime_checkable
class Threaded(Protocol):
    """A codec whose networks run on threads."""

    def with_threads(self, threads: int) -> Codec:
        """The same codec, whose networks run on so many."""


def as_codec(given: Codec | str | os.PathLike[str]) -> Codec:
    """Give a codec as it is, and load one by its name or from its file.

    Raises:
        CodecError: it is none, or cannot be loaded.
    """
    from kinpack.codec.codec import Codec

    made: Any = given
    codec: Codec = made if hasattr(given, "codec_id") else Codec.load(made)
    return codec


def as_describer(given: Described) -> Describer:
    """Give a describer as it is, and load one by its name or from its file.

    Raises:
        CodecError: it is none, or cannot be loaded.
    """
    from kinpack.describers.describer import Describer

    return given if isinstance(given, Describer) else Describer.load(given)


def as_describers(given: Described | Mapping[str, Described] | None) -> dict[str, Describer]:
    """Give describers by the names of their columns of codes, each loaded where it is not yet.

    Args:
        given: one, which has its own name; several by their names; or none.

    Raises:
        ArchiveError: a column of codes cannot have such a name.
        CodecError: one is none, or cannot be loaded.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {column_name(name): as_describer(one) for name, one in given.items()}
    describer = as_describer(given)
    return {column_name(describer.name): describer}


def store_files(
    store: Store,
    codec: bytes,
    describers: Mapping[str, bytes],
    metadata: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write the files of a codec and of describers into a new archive.

    Args:
        store: the archive's store.
        codec: the codec file.
        describers: the describer files by the names of their columns, the usual one first.
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
        describers=tuple(describer_entry(name, data) for name, data in describers.items()),
    )
    store.create(manifest.codec_file, codec)
    for entry in manifest.describers:
        store.create(entry.file, describers[entry.name])
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


def read_describer(store: Store, entry: DescriberEntry) -> bytes:
    """Read the file of a describer that an archive is searched by, its identity checked.

    Args:
        store: the archive's store.
        entry: what its manifest says of the describer.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    return _read_identified(
        store,
        entry.file,
        entry.bytes,
        entry.sha256,
        "the describer is damaged; restore the file from a copy, or search other codes with "
        "--codes",
    )


def _read_identified(store: Store, name: str, n_bytes: int, sha256: str, fault: str) -> bytes:
    if n_bytes > MOST_CODEC_BYTES:
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


def load_describer(store: Store, manifest: Manifest, name: str) -> Describer:
    """Read a describer that an archive is searched by, its identity checked.

    Args:
        store: the archive's store.
        manifest: a revision.
        name: of its column of codes.

    Raises:
        ArchiveError: the describer's file is missing or damaged, or codes of the archive are of
            another size.
        SearchError: there is no such column.
        CodecError: this version cannot read it.
    """
    entry = described_column(manifest, name, store.where(""))
    data = read_describer(store, entry)

    from kinpack.describers.describer import Describer

    describer = Describer.from_bytes(data, where=store.where(entry.file))
    for segment in manifest.segments:
        n_bytes = segment.code_bytes.get(name, describer.code_bytes)
        if n_bytes != describer.code_bytes:
            raise ArchiveError(
                f"{store.where(segment.file)}: its codes of {name!r} have {n_bytes} bytes each, "
                f"not {describer.code_bytes}; make them anew with: kinpack embed"
            )
    return describer


def described_column(manifest: Manifest, name: str, where: str) -> DescriberEntry:
    """What a revision says of the describer of a column of codes.

    Args:
        manifest: the revision.
        name: of the column.
        where: the archive's name for messages.

    Raises:
        SearchError: there is no such column.
    """
    entry = manifest.describer(name)
    if entry is not None:
        return entry
    there = ", ".join(entry.name for entry in manifest.describers) or "none"
    raise SearchError(
        f"{where}: it has no codes {name!r}, of others {there}; add some with: kinpack embed"
    )
