"""Renaming: other ids and labels for images that are there, payloads untouched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from kinpack.archive.amending.new_indexes import NewIndexes, Told, see_free, see_name
from kinpack.archive.amending.removal import no_label
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.snapshot import Snapshot, live_rows
from kinpack.archive.segments.segment import Segment
from kinpack.archive.stores.store import Store
from kinpack.errors import ArchiveError, NotFoundError

_Changed: TypeAlias = dict[str, dict[int, Told]]
"""What is told anew of every row that changes, by the names of the segments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What images are to be called.

    Attributes:
        ids: new ids by the former ones.
        prefix: what the ids of some begin with, and what takes its place.
        label: a label, and what takes its place; an empty text stands for no label.
    """

    ids: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, str] | None = None
    label: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        pairs = [*self.ids.items(), *(one for one in (self.prefix, self.label) if one is not None)]
        if not pairs:
            raise ArchiveError("nothing is to be renamed: give ids, a prefix or a label")
        for pair in pairs:
            if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
                raise ArchiveError(
                    f"{pair!r} are no two names: the former and the new one, both are texts"
                )

    def id_of(self, name: str) -> str:
        """The new id of an image, or its own."""
        if name in self.ids:
            return self.ids[name]
        old, new = self.prefix or ("", "")
        return new + name.removeprefix(old) if name.startswith(old) else name

    def label_of(self, label: str | None) -> str | None:
        """The new label of an image, or its own."""
        if self.label is not None and (label or "") == self.label[0]:
            return self.label[1] or None
        return label


@dataclass(frozen=True, slots=True)
class RenameReport:
    """What came of renaming.

    Attributes:
        renamed: the former and the new id of each image that has another one now.
        relabelled: images that have another label now.
    """

    renamed: list[tuple[str, str]]
    relabelled: int


class Renaming:
    """New names on their way into an archive: files in the store, in no manifest yet.

    Args:
        store: where the archive lies.
        names: what its images are to be called.
    """

    def __init__(self, store: Store, names: Names) -> None:
        self._store, self._names = store, names
        self._indexes = NewIndexes(store)

    def following(self, base: Snapshot) -> tuple[Manifest | None, RenameReport]:
        """The manifest that gives a revision the names; the segments' new indexes are stored.

        Args:
            base: the revision.

        Returns:
            The manifest, ``None`` if nothing would change; and what would come of it.

        Raises:
            NotFoundError: an id is not there, or none that begins so, or no image of the label.
            ArchiveError: two images would have one id, a name is none that a segment can hold, a
                segment is missing or damaged, or the store cannot be written.
        """
        self._indexes.begin_again()
        changed, report = self.proposed(base)
        if not changed:
            return None, report
        entries = []
        for entry, segment in zip(base.manifest.segments, base.segments, strict=True):
            rows = changed.get(entry.name)
            entries.append(self._indexes.rewritten(segment, rows, base) if rows else entry)
        change = {
            "verb": "rename",
            "renamed": len(report.renamed),
            "relabelled": report.relabelled,
        }
        self._indexes.offered()
        return base.manifest.following(tuple(entries), change), report

    def proposed(self, base: Snapshot) -> tuple[_Changed, RenameReport]:
        """What would be called how, in a revision; nothing is stored.

        Returns:
            Id and label of every row that changes, by the names of the segments; and the report.

        Raises:
            NotFoundError: as ``following``.
            ArchiveError: likewise.
        """
        asked = self._names
        changed: _Changed = {}
        report, relabelled = RenameReport([], 0), 0
        begun = labelled = False
        taken: Counter[str] = Counter()  # new ids
        freed: set[str] = set()
        for segment, rows in self._looked_at(base):
            ids, labels = segment.index.ids, segment.index.optional["label"]
            for row in rows:
                old, label = ids[row].as_py(), labels[row].as_py()
                name, new_label = asked.id_of(old), asked.label_of(label)
                begun = begun or (asked.prefix is not None and old.startswith(asked.prefix[0]))
                labelled = labelled or (asked.label is not None and asked.label[0] == (label or ""))
                if name != old:
                    see_name(name, base.where)
                    report.renamed.append((old, name))
                    freed.add(old)
                    taken[name] += 1
                if new_label != label:
                    see_name(new_label or "-", base.where)
                    relabelled += 1
                if (name, new_label) != (old, label):
                    of_segment = changed.setdefault(segment.manifest_entry.name, {})
                    of_segment[row] = Told(name, new_label)
        if asked.prefix is not None and not begun:
            raise NotFoundError(
                f"{base.where}: no id begins with {asked.prefix[0]!r}; list them with: "
                "kinpack ls ARCHIVE"
            )
        if asked.label is not None and not labelled:
            raise no_label(base, asked.label[0])
        see_free(base, taken, freed)
        return changed, replace(report, relabelled=relabelled)

    def _looked_at(self, base: Snapshot) -> Iterator[tuple[Segment, list[int]]]:
        """Segments, and the rows of them that may get other names."""
        asked = self._names
        places = [base.locate(base.position(name)) for name in asked.ids]
        if asked.prefix is None and asked.label is None:
            rows: dict[Segment, list[int]] = {}
            for segment, row in places:
                rows.setdefault(segment, []).append(row)
            yield from rows.items()
            return
        for segment in base.segments:
            yield segment, live_rows(segment.manifest_entry).tolist()

    def discard(self) -> None:
        """Delete the files, unless a manifest that names them may exist."""
        self._indexes.discard()
