"""Recoding: lost codecs and describers found again, lost codes made of the pictures as held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from kinpack.archive.revisions.manifest import DescriberEntry, Manifest, codec_file
from kinpack.archive.revisions.stored_codec import Codec, read_codec, read_describer
from kinpack.archive.segments.image_entry import StoredImage
from kinpack.archive.stores.store import Store
from kinpack.describers.describing import packed_codes
from kinpack.errors import ArchiveError, KinpackError, counted
from kinpack.limits import batches
from kinpack.pictures.images import Image

if TYPE_CHECKING:
    from kinpack.describers.describer import Describer

_BATCH = 64


class Recoder:
    """Makes lost codes anew.

    Args:
        codec: loads the archive's codec; called if a code is lost.
        describers: the archive's describers by the names of their columns.

    Attributes:
        made: codes that were made anew.
        failed: ids of images that cannot be drawn, whose code names the first word of each book.
    """

    def __init__(self, codec: Callable[[], Codec], describers: Mapping[str, Describer]) -> None:
        self.made = 0
        self.failed: list[str] = []
        self._load = codec
        self._codec: Codec | None = None
        self._describers = describers

    def complete(self, images: Iterator[StoredImage]) -> Iterator[StoredImage]:
        """Give all images in their order, each with a code in every column that can be made."""
        for batch in batches(images, _BATCH, n_bytes=lambda one: one.packet.pixel_bytes):
            for name, describer in self._describers.items():
                if not describer.describes:
                    continue  # its vectors were made elsewhere
                lost = [i for i, image in enumerate(batch) if not _fits(image, name, describer)]
                codes = self._codes([batch[i] for i in lost], describer)
                for i, code in zip(lost, codes, strict=True):
                    batch[i] = replace(batch[i], codes={**batch[i].codes, name: code})
            for image in batch:
                kept = {
                    name: image.codes[name]
                    for name, describer in self._describers.items()
                    if _fits(image, name, describer)
                }
                yield replace(image, codes=kept)

    def notes(self) -> list[str]:
        """What is to be told of it, a line each."""
        notes = []
        if self.made:
            notes.append(
                f"the codes of {counted(self.made, 'image')} were lost, and are made anew of the "
                "pictures as the archive holds them"
            )
        if self.failed:
            notes.append(
                f"the codes of {counted(len(self.failed), 'image')} are lost: what cannot be drawn "
                f"has none, as {self.failed[0]!r}"
            )
        return notes

    def _codes(self, stored: Sequence[StoredImage], describer: Describer) -> list[bytes]:
        if not stored:
            return []
        self._codec = self._codec or self._load()
        try:
            images: list[Image] = self._codec.decode([one.packet for one in stored])
        except KinpackError:
            if len(stored) > 1:
                return [code for one in stored for code in self._codes([one], describer)]
            self.failed.append(stored[0].id)
            return [bytes(describer.code_bytes)]
        self.made += len(stored)
        return packed_codes(describer, images)


def _fits(image: StoredImage, column: str, describer: Describer) -> bool:
    return len(image.codes.get(column, b"")) == describer.code_bytes


def find_codec(
    store: Store, codec_id: str, n_bytes: int | None, given: Codec | None
) -> tuple[bytes, list[str]]:
    """Find an archive's codec file: its own copy, one that was given, or one that ships.

    Args:
        store: where the archive lies.
        codec_id: SHA-256 of the codec file, hexadecimal.
        n_bytes: size of the codec file, ``None`` if nobody knows.
        given: a copy, should the archive's own be damaged.

    Returns:
        The file, and what is to be told of it.

    Raises:
        ArchiveError: it is lost.
    """
    from kinpack.codec.codec import SHIPPED
    from kinpack.codec.codec import Codec as Shipped

    try:
        size = store.size(codec_file(codec_id)) if n_bytes is None else n_bytes
        return read_codec(store, Manifest.unborn(codec_id, size)), []
    except KinpackError as error:
        notes = [str(error)]
    shipped: Iterable[Codec] = (Shipped.load(name) for name in SHIPPED)
    for candidate in [given] if given else shipped:
        if candidate.codec_id == codec_id:
            return candidate.to_bytes(), notes
    raise ArchiveError(
        f"{store.where('')}: its codec {codec_id[:12]}… is damaged or missing; give a copy of the "
        "codec file with --codec"
    )


def find_describer(
    store: Store, entry: DescriberEntry, given: Describer | None
) -> tuple[Describer | None, list[str]]:
    """Find a describer of an archive: its own copy, one that was given, or one that ships.

    Args:
        store: where the archive lies.
        entry: what a manifest says of the describer.
        given: a copy, should the archive's own be damaged.

    Returns:
        The describer, ``None`` if it is lost; and what is to be told of it.
    """
    from kinpack.describers.describer import SHIPPED, Describer

    try:
        data = read_describer(store, entry)
        return Describer.from_bytes(data, where=store.where(entry.file)), []
    except KinpackError as error:
        notes = [str(error)]
    if given and given.describer_id == entry.sha256:
        return given, notes
    for name in SHIPPED:
        with suppress(KinpackError):
            shipped = Describer.load(name)
            if shipped.describer_id == entry.sha256:
                return shipped, notes
    notes.append(
        f"the describer {entry.name!r} ({entry.sha256[:12]}…) is lost, and its codes with it: the "
        "new archive has none of them; give a copy of the describer file with --describer"
    )
    return None, notes
