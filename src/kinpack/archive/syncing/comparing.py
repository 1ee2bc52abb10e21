"""Comparing: what of a folder is new, changed, renamed or gone since an archive took it in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from kinpack.archive.amending.noting import columns_with_facts
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.errors import ArchiveError
from kinpack.limits import cores
from kinpack.progress import Progress
from kinpack.sources.file_columns import KNOWN_BY, FileColumns, FileFacts
from kinpack.sources.picture_files import FileSource

Unknown: TypeAlias = Literal["refuse", "keep", "replace"]
"""What is done with images of which the archive cannot tell whether their files have changed."""

SCHEMA = FileColumns(KNOWN_BY).schema
"""The columns by which that is told."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What an archive knows of an image's file.

    Attributes:
        id: of the image.
        label: likewise.
        size: bytes of the file, ``None`` where that was not kept.
        modified: when it was changed, in microseconds since 1970; likewise.
        sha256: of its bytes; likewise.
    """

    id: str
    label: str | None
    size: int | None
    modified: int | None
    sha256: str | None


@dataclass(slots=True)
class Comparison:
    """What a folder and an archive differ in.

    Attributes:
        unchanged: how many images have the same files as before.
        new: ids of files that are no image's yet.
        changed: images whose files are others by now.
        renamed: images whose files have other names by now, under these.
        gone: images whose files are there no more.
        touched: images whose files have another time, and the same bytes.
        trusted: images whose files are taken for the same, since nothing was known of them.
        facts: of the files of images that were renamed, touched or trusted, by their ids.
    """

    unchanged: int = 0
    new: list[str] = field(default_factory=list)
    changed: list[Known] = field(default_factory=list)
    renamed: dict[str, Known] = field(default_factory=dict)
    gone: list[Known] = field(default_factory=list)
    touched: list[Known] = field(default_factory=list)
    trusted: list[Known] = field(default_factory=list)
    facts: dict[str, FileFacts] = field(default_factory=dict)

    @property
    def replaced(self) -> list[Known]:
        """The changed images whose files are to be taken: those that no renamed one replaces."""
        return [one for one in self.changed if one.id not in self.renamed]

    @property
    def overwritten(self) -> list[Known]:
        """The changed images that renamed ones replace, and that were not renamed themselves."""
        moved = {one.id for one in self.renamed.values()}
        return [one for one in self.changed if one.id in self.renamed and one.id not in moved]


def compare(
    base: Snapshot, source: FileSource, unknown: Unknown, progress: Progress | None = None
) -> Comparison:
    """Compare a folder with an archive, by what the archive knows of its files.

    A file of the same size and time is the same. The bytes of others are read, and hashed, where
    they may be the same all the same, or an image's that had another name. No picture is decoded.

    Args:
        base: the archive's revision.
        source: the folder.
        unknown: what is done with images of which too little is known.
        progress: called with the number of files just looked at, or read.

    Raises:
        ArchiveError: too little is known of an image, and that is refused; a column has another
            type; a segment is missing or damaged.
    """
    if unknown not in ("refuse", "keep", "replace"):
        raise ArchiveError(f"unknown is {unknown!r}; it is one of refuse, keep, replace")
    columns_with_facts(base, SCHEMA)
    work = _Work(source, progress)
    work.sort(_known(base, source))
    work.read_unsure(base.where, unknown)
    work.find_renamed()
    return work.found


class _Work:
    """A comparison under way."""

    def __init__(self, source: FileSource, progress: Progress | None) -> None:
        self.found = Comparison()
        self._paths = dict(source.files())
        self._progress = progress
        self._unsure: list[Known] = []
        self._read: dict[str, FileFacts | None] = {}

    def sort(self, known: Iterable[Known]) -> None:
        """Tell by size and time what is the same, and what is not."""
        found = self.found
        new = dict.fromkeys(self._paths)
        for one in known:
            if one.id not in self._paths:
                found.gone.append(one)
                continue
            del new[one.id]
            now = self._now(one.id)
            if now is None or one.size not in (None, now.size):
                found.changed.append(one)  # or cannot be read, which adding tells
            elif (now.size, now.modified) == (one.size, one.modified):
                found.unchanged += 1
            else:
                self._unsure.append(one)
        found.new = list(new)
        if self._progress:
            self._progress(len(self._paths))

    def read_unsure(self, where: str, unknown: Unknown) -> None:
        """Tell by their bytes what of the rest is the same."""
        found = self.found
        strange = [one for one in self._unsure if one.sha256 is None]
        if strange and unknown == "refuse":
            raise ArchiveError(
                f"{where}: too little is known of {len(strange):,} of its images, as "
                f"{strange[0].id!r}, to tell whether their files have changed; --unknown keep "
                "takes them for the same and notes size, time and hash, --unknown replace codes "
                "them anew; pack notes them with --columns file,hash"
            )
        self._hash(one.id for one in self._unsure if one.sha256 or unknown == "keep")
        for one in self._unsure:
            facts = self._read.get(one.id)
            if facts is None or one.sha256 not in (None, facts.sha256):
                found.changed.append(one)
                continue
            found.facts[one.id] = facts
            (found.touched if one.sha256 else found.trusted).append(one)

    def find_renamed(self) -> None:
        """Find, by size and hash, files that are images of other names."""
        found = self.found
        free: dict[str, list[Known]] = {}
        for one in (*found.gone, *found.changed):
            if one.sha256:
                free.setdefault(one.sha256, []).append(one)
        sizes = {one.size for same in free.values() for one in same}
        if not sizes:
            return
        wanted = [*found.new, *(one.id for one in found.changed)]
        if None not in sizes:
            wanted = [name for name in wanted if (now := self._now(name)) and now.size in sizes]
        self._hash(wanted)
        for name in wanted:
            facts = self._read[name]
            if facts is None or not (same := free.get(facts.sha256 or "")):
                continue
            one = next((one for one in same if _last(one.id) == _last(name)), same[0])
            same.remove(one)
            found.renamed[name], found.facts[name] = one, facts
        moved = {one.id for one in found.renamed.values()}
        found.gone = [one for one in found.gone if one.id not in moved]
        found.new = [name for name in found.new if name not in found.renamed]

    def _now(self, name: str) -> FileFacts | None:
        """Size and time of a file, ``None`` where it cannot be looked at."""
        try:
            return FileFacts.of(self._paths[name])
        except OSError:
            return None

    def _hash(self, names: Iterable[str]) -> None:
        """Read files, some at a time."""
        left = [name for name in names if name not in self._read]
        with ThreadPoolExecutor(min(4, cores()), thread_name_prefix="kinpack-hash") as pool:
            for name, facts in zip(left, pool.map(self._hashed, left), strict=True):
                self._read[name] = facts
                if self._progress:
                    self._progress(1)

    def _hashed(self, name: str) -> FileFacts | None:
        try:
            return FileFacts.read(self._paths[name])
        except OSError:
            return None


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _known(base: Snapshot, source: FileSource) -> Iterator[Known]:
    """What is known of the images that a folder speaks for."""
    there = set(source.ids)
    for segment, rows in base.parts():
        index = segment.index
        columns = [index.ids.to_pylist(), index.optional["label"].to_pylist()]
        columns += (
            _values(index.optional, name, len(index.ids)) for name in ("size", "modified", "sha256")
        )
        images = list(zip(*columns, strict=True))
        for one in images if rows is None else (images[row] for row in rows.tolist()):
            if one[0] in there or source.covers(one[0]):
                yield Known(*one)


def _values(columns: Mapping[str, Any], name: str, rows: int) -> list[Any]:
    """The values of a column, times in microseconds, ``None`` where there is none."""
    import pyarrow as pa

    if name not in columns:
        return [None] * rows
    array = columns[name]
    values: list[Any] = (array.view(pa.int64()) if name == "modified" else array).to_pylist()
    return values
