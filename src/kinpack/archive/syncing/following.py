"""Following: what makes an archive the same as a folder, out of what they differ in."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from kinpack.archive.amending.new_indexes import Told
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.segments.image_entry import ImageEntry
from kinpack.archive.syncing.comparing import Comparison, Known
from kinpack.column_types import Schema
from kinpack.errors import SourceError
from kinpack.sources.file_columns import KNOWN_BY
from kinpack.sources.items import MISSING, Item
from kinpack.sources.opening import Spec, open_source
from kinpack.sources.picture_files import FileSource, label_of


def as_files(given: Spec | FileSource | Iterable[Any]) -> FileSource:
    """The picture files of a folder, opened to be told apart from others.

    Raises:
        SourceError: it cannot be opened, or is no folder of picture files.
    """
    if not isinstance(given, FileSource):
        opened: Any = given
        given = open_source(opened)
    if not isinstance(given, FileSource):
        raise SourceError(
            f"{given.name}: no folder of picture files, and only such can be followed; add it"
        )
    return given.with_columns(KNOWN_BY)


def told_of(found: Comparison, source: FileSource) -> dict[str, Told]:
    """What is to be told of images whose files have another name or time, by their former ids.

    The label follows where it was that of the file's folder.
    """
    told: dict[str, Told] = {}
    for name, one in found.renamed.items():
        follows = one.label == label_of(one.id)
        label = label_of(name) if follows else one.label
        told[one.id] = Told(name, label, found.facts[name].columns(source.below(name)))
    for one in (*found.touched, *found.trusted):
        columns = found.facts[one.id].columns(source.below(one.id))
        told[one.id] = Told(one.id, one.label, columns)
    return told


class TakenFiles:
    """The files that are to be added; those of changed images keep what else is known of these.

    Args:
        source: the folder.
        found: what is new, and what has changed.
        base: the archive's revision.
    """

    def __init__(self, source: FileSource, found: Comparison, base: Snapshot) -> None:
        self._files = source.only({*found.new, *(one.id for one in found.replaced)})
        self.name = source.name
        self.left_out = source.left_out
        moved = {one.id for one in found.renamed.values()}
        changed = [one for one in found.replaced if one.id not in moved]
        self._former = _entries(base, changed)

    @property
    def columns(self) -> Schema:
        """The types of the columns that its items have, by their names."""
        return self._files.columns

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[Item]:
        own = {*self._files.columns, MISSING}
        for item in self._files:
            former = self._former.get(item.id)
            if former is None:
                yield item
                continue
            others = {name: value for name, value in former.others.items() if name not in own}
            known: Any = item.columns  # as it is: loading a file adds to it
            yield replace(item, label=former.label, columns=ChainMap(known, others))


def _entries(base: Snapshot, images: Iterable[Known]) -> Mapping[str, ImageEntry]:
    places = [place for one in images if (place := base.find(one.id)) is not None]
    return {entry.id: entry for entry in base.entries_at(places)}
