"""Folders: which files below one are pictures, and what is left out, of which nothing is silent."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from kinpack.errors import SourceError, see_memory, shown
from kinpack.pictures.formats import (
    HEAD,
    PICTURE_SUFFIXES,
    cures,
    format_of,
    is_picture_name,
    suffix_of,
)

TABLES = (".parquet", ".arrow")
"""Suffixes of the files of data sets."""

# Folders that are entered once more, by links: without a limit, links among a few folders make
# more paths than there is time for.
MOST_LINKED = 10_000
"""Times that links may lead to folders that were seen already."""

_SYSTEM = (
    "@eadir/@recycle/@recently-snapshot/#recycle/#snapshot/$recycle.bin/recycler/__macosx/"
    "lost+found/system volume information"
)
OTHERS = frozenset(_SYSTEM.split("/"))
"""Folders that a system keeps for itself, in lower case; hidden ones are left out anyway."""

# Files that lie among pictures and are known to be none: they are not looked into.
_KNOWN = (
    ".aae .avi .csv .db .doc .docx .gz .html .ini .ipynb .json .jsonl .lnk .log .m4a .m4v .md .mkv "
    ".mov .mp3 .mp4 .mpg .npy .npz .parquet .arrow .pdf .pp3 .py .sqlite .srt .svg .tar .toml .tsv "
    ".txt .wav .webm .xml .xmp .yaml .yml .zip"
)
_NO_PICTURES = frozenset(_KNOWN.split())


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What lies in a folder and is not taken.

    Attributes:
        kinds: files that hold no picture that is read here, counted by suffix, the most first;
            "" stands for no suffix.
        hidden: files whose names begin with a dot.
        folders: folders that were not entered, hidden ones and those of a system; paths below the
            folder, with "/" between, sorted.
        excluded: files that the patterns left out, and folders that they closed.
    """

    kinds: Mapping[str, int] = field(default_factory=dict)
    hidden: int = 0
    folders: tuple[str, ...] = ()
    excluded: int = 0

    def __bool__(self) -> bool:
        return bool(self.kinds or self.hidden or self.folders or self.excluded)

    def with_those_of(self, other: LeftOut, folder: str) -> LeftOut:
        """What lies here and in another folder, of this name, is not taken in either."""
        kinds = Counter(self.kinds) + Counter(other.kinds)
        return LeftOut(
            dict(sorted(kinds.items(), key=lambda one: (-one[1], not one[0], one[0]))),
            self.hidden + other.hidden,
            self.folders + tuple(f"{folder}/{name}" for name in other.folders),
            self.excluded + other.excluded,
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "kinds": {shown(suffix): count for suffix, count in self.kinds.items()},
            "hidden": self.hidden,
            "folders": [shown(folder) for folder in self.folders],
            "excluded": self.excluded,
            "cures": cures(self.kinds),
        }

    def __str__(self) -> str:
        words = counted(self.kinds)
        words += [f"hidden files {self.hidden:,}"] if self.hidden else []
        words += [f"by pattern {self.excluded:,}"] if self.excluded else []
        if self.folders:
            names = Counter(folder.rpartition("/")[2] for folder in self.folders)
            told = [f"{shown(name)} {count:,}" for name, count in names.most_common(8)]
            told += [f"{len(names) - 8:,} other names"] if len(names) > 8 else []
            words.append(f"folders {', '.join(told)}")
        return "; ".join([", ".join(words), *cures(self.kinds)])


def counted(kinds: Mapping[str, int], most: int = 12) -> list[str]:
    """Words for suffixes and how many files have each, as ".heic 2"; the most frequent ones."""
    told = [f"{shown(suffix) or 'no suffix'} {kinds[suffix]:,}" for suffix in list(kinds)[:most]]
    rest = list(kinds.values())[most:]
    return told + ([f"{len(rest):,} other suffixes {sum(rest):,}"] if rest else [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """Which files of a folder are wanted.

    A pattern is a shell's, in which ``*`` stands for any characters, "/" too. One without "/" is
    held against names, of the file and of each folder that it lies in; one with "/" against the
    path below the folder.

    Attributes:
        include: patterns of which a file must match one; none lets all pass.
        exclude: patterns of which a file must match none.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def __post_init__(self) -> None:
        for given in (self.include, self.exclude):
            if isinstance(given, str) or not all(isinstance(one, str) and one for one in given):
                raise SourceError(f"patterns are a list of texts, not {given!r}; give ['*.jpg']")

    def want(self, path: str) -> bool:
        """Tell whether a file, named by its path below the folder, is wanted."""
        return (not self.include or _match(self.include, path)) and not self.close(path)

    def close(self, path: str) -> bool:
        """Tell whether a file, or all that lies in a folder, is excluded."""
        return bool(self.exclude) and _match(self.exclude, path)


def _match(patterns: Sequence[str], path: str) -> bool:
    names = path.split("/")
    for pattern in patterns:
        bare = pattern.rstrip("/")
        if "/" in bare:
            bare = bare.removeprefix("./").removeprefix("/")
            if fnmatchcase(path, bare) or fnmatchcase(path, f"{bare}/*"):
                return True
        elif any(fnmatchcase(name, bare) for name in names):
            return True
    return False


@dataclass(frozen=True, slots=True)
class FolderContent:
    """What lies below a folder; paths below it, with "/" between.

    Attributes:
        pictures: in no order.
        tables: files of a data set, in no order.
        left_out: all else; the tables too, where there are pictures.
    """

    pictures: list[str]
    tables: list[str]
    left_out: LeftOut


def scan(root: str, patterns: Patterns) -> FolderContent:
    """Find the pictures below a folder: by their names, and other files by their first bytes.

    Raises:
        SourceError: a folder cannot be read, or links lead to folders again and again.
    """
    found = _Scan(root, patterns)
    found.walk()
    pictures, tables = found.pictures, found.tables
    kinds: Counter[str] = Counter()
    for path in found.others:
        if (pictures or not tables) and _holds_picture(os.path.join(root, path)):  # noqa: PTH118
            pictures.append(path)
        else:
            kinds[suffix_of(path)] += 1
    if pictures:
        kinds.update(map(suffix_of, tables))
    left_out = LeftOut(
        dict(sorted(kinds.items(), key=lambda one: (-one[1], not one[0], one[0]))),
        found.hidden,
        tuple(sorted(found.folders)),
        found.excluded,
    )
    return FolderContent(pictures, tables, left_out)


class _Scan:
    """A walk through all folders below one."""

    def __init__(self, root: str, patterns: Patterns) -> None:
        self._root, self._patterns = root, patterns
        self.pictures: list[str] = []
        self.tables: list[str] = []
        self.others: list[str] = []
        self.folders: list[str] = []
        self.hidden = self.excluded = self._again = 0

    def walk(self) -> None:
        pending = [("", self._root, frozenset({_identity(os.stat(self._root))}))]  # noqa: PTH116
        entered: set[tuple[int, int]] = set()
        while pending:
            prefix, folder, above = pending.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if not _is_folder(entry):
                            self._sort(entry.name, prefix + entry.name)
                        elif self._is_entered(entry.name, prefix + entry.name):
                            identity = _identity(entry.stat())
                            if identity in above:  # a link leads back up
                                continue
                            self._count_again(identity in entered)
                            entered.add(identity)
                            below = f"{prefix}{entry.name}/"
                            pending.append((below, entry.path, above | {identity}))
            except OSError as error:
                see_memory(error, shown(folder))
                raise SourceError(
                    f"{shown(folder)}: the folder cannot be read ({error.strerror}); check its "
                    "rights"
                ) from error

    def _is_entered(self, name: str, path: str) -> bool:
        if name.startswith(".") or name.lower() in OTHERS:
            self.folders.append(path)
            return False
        closed = self._patterns.close(path)
        self.excluded += closed
        return not closed

    def _count_again(self, again: bool) -> None:
        self._again += again
        if self._again > MOST_LINKED:
            raise SourceError(
                f"{shown(self._root)}: its links lead to the same folders more than "
                f"{MOST_LINKED:,} times; remove some of them"
            )

    def _sort(self, name: str, path: str) -> None:
        if name.startswith("."):
            self.hidden += 1
        elif not self._patterns.want(path):
            self.excluded += 1
        elif is_picture_name(name):
            self.pictures.append(path)
        elif suffix_of(name) in TABLES:
            self.tables.append(path)
        else:
            self.others.append(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _holds_picture(path: str) -> bool:
    """Tell whether a file that no suffix tells to be a picture is one, by its first bytes."""
    suffix = suffix_of(path)
    if suffix in _NO_PICTURES or suffix in PICTURE_SUFFIXES:
        return False
    try:
        if not os.path.isfile(path):  # noqa: PTH113 (a pipe would block until somebody writes)
            return False
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (by the million)
            found = format_of(file.read(HEAD))
    except OSError:
        return False
    return found is not None and found.is_read
