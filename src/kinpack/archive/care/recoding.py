"""Recoding: the describer's codes of images that have lost theirs, made of the pictures as held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.stored_codec import Codec, read_describer
from kinpack.archive.segments.batches import batches
from kinpack.archive.stores.store import Store
from kinpack.codec.packets.packet import Packet
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image

if TYPE_CHECKING:
    from kinpack.describers.describer import Describer

_BATCH = 64


class Row(NamedTuple):
    """One image on its way into another archive.

    Attributes:
        id: its name.
        label: its class, ``None`` if it has none.
        packet: the image, coded.
        code: the describer's packed code of it, ``None`` if it is lost; empty without a describer.
    """

    id: str
    label: str | None
    packet: Packet
    code: bytes | None


class Recoder:
    """Makes lost codes anew.

    Args:
        codec: loads the archive's codec; called if a code is lost.
        describer: the archive's describer.

    Attributes:
        made: codes that were made anew.
        failed: ids of images that cannot be drawn, whose code names the first word of each book.
    """

    def __init__(self, codec: Callable[[], Codec], describer: Describer) -> None:
        self.made = 0
        self.failed: list[str] = []
        self._load = codec
        self._coder: Codec | None = None
        self._describer = describer

    def complete(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Give all rows in their order, each with a code."""
        for batch in batches(rows, _BATCH, n_bytes=lambda row: row.packet.pixel_bytes):
            lost = [place for place, row in enumerate(batch) if not self._fits(row.code)]
            codes = dict(zip(lost, self._codes([batch[place] for place in lost]), strict=True))
            for place, row in enumerate(batch):
                yield row._replace(code=codes.get(place, row.code))

    def notes(self) -> list[str]:
        """What is to be told of it, a line each."""
        notes = []
        if self.made:
            notes.append(
                f"the describer's codes of {self.made} images were lost, and are made anew of the "
                "pictures as the archive holds them"
            )
        if self.failed:
            notes.append(
                f"the describer's codes of {len(self.failed)} images are lost: they cannot be "
                f"drawn, the first is {self.failed[0]!r}"
            )
        return notes

    def _fits(self, code: bytes | None) -> bool:
        return code is not None and len(code) == self._describer.code_bytes

    def _codes(self, rows: Sequence[Row]) -> list[bytes]:
        if not rows:
            return []
        self._coder = self._coder or self._load()
        try:
            images: list[Image] = self._coder.decode([row.packet for row in rows])
        except KinpackError:
            if len(rows) > 1:
                return [code for row in rows for code in self._codes([row])]
            self.failed.append(rows[0].id)
            return [bytes(self._describer.code_bytes)]
        self.made += len(rows)
        return self._describer.packed(images)


def find_describer(
    store: Store, describer_id: str, n_bytes: int, given: Describer | None
) -> tuple[Describer | None, list[str]]:
    """Find an archive's describer: its own copy, one that was given, or one that ships.

    Args:
        store: where the archive lies.
        describer_id: SHA-256 of the describer file, hexadecimal; empty if there is none.
        n_bytes: size of the describer file.
        given: a copy, should the archive's own be damaged.

    Returns:
        The describer, ``None`` if there is none or it is lost; and what is to be told of it.
    """
    from kinpack.describers.describer import SHIPPED, Describer

    if not describer_id:
        return None, []
    manifest = Manifest.unborn("", 0, describer=describer_id, describer_bytes=n_bytes)
    try:
        data = read_describer(store, manifest)
        return Describer.from_bytes(data, where=store.where(manifest.describer_file)), []
    except KinpackError as error:
        notes = [str(error)]
    if given and given.describer_id == describer_id:
        return given, notes
    for name in SHIPPED:
        with suppress(KinpackError):
            shipped = Describer.load(name)
            if shipped.describer_id == describer_id:
                return shipped, notes
    notes.append(
        f"the describer {describer_id[:12]}… is lost, and its codes with it: the new archive has "
        "none; give a copy of the describer file with --describer"
    )
    return None, notes
