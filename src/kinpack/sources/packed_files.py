"""Pictures in tar and zip files: as folders have them, or as WebDataset has them, in shards."""

from __future__ import annotations

import json
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from kinpack.column_types import Schema, joined, type_of
from kinpack.errors import ImageError, SourceError, see_memory, shown
from kinpack.pictures.formats import is_picture_name
from kinpack.pictures.images import Image, read_image
from kinpack.pictures.reading import Reading
from kinpack.sources.folders import Patterns
from kinpack.sources.items import Item

PACKED = (".tar", ".zip")
"""Suffixes of such files."""

MOST_BYTES = 1 << 30
"""Most that a picture within one may have, unpacked."""
_MOST_TOLD = 1 << 20  # bytes of what is told of a picture
_ABOUT = (".json", ".cls", ".txt")
"""Suffixes of what WebDataset tells of a picture of the same name: all, its class, a text."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A picture in such a file.

    Attributes:
        path: of the file.
        name: of the picture, a path in the file.
        offset: byte at which it begins, of a tar.
        size: its bytes, unpacked.
        id: by which it is known.
        label: its class.
        columns: what else is told of it that was asked for.
    """

    path: Path
    name: str
    offset: int
    size: int
    id: str
    label: str | None
    columns: Mapping[str, Any]


class PackedSource:
    """Pictures in tar or zip files, in their order.

    A picture's id is its path there, its label the first folder. Where a ``.json`` of the same name
    tells an ``id`` or a ``label``, as WebDataset has it and ``kinpack export`` writes it, these
    count, and so does a class in a ``.cls``.

    Args:
        name: what messages call the collection.
        files: the files.
        reading: how pictures are read.
        patterns: which paths in the files are wanted.
        columns: what else is kept of each picture: names in these ``.json``, ``txt`` for the text
            in a ``.txt``.

    Attributes:
        columns: their types, by their names.

    Raises:
        SourceError: a file is damaged or packed in another way, it holds no picture, two pictures
            have one id, or nothing is told under a name, or values of several types.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[Path],
        reading: Reading,
        patterns: Patterns,
        columns: Sequence[str] = (),
    ) -> None:
        self.name, self._reading = name, reading
        self._members = [
            one for file in files for one in _members(file, columns) if patterns.want(one.name)
        ]
        if not self._members:
            raise SourceError(f"no images in {name}: its files hold none that are wanted")
        seen: set[str] = set()
        for one in self._members:
            if one.id in seen:
                raise SourceError(f"{name}: two pictures are called {one.id}; leave one out")
            seen.add(one.id)
        self.columns = self._schema(columns)

    @property
    def ids(self) -> Iterator[str]:
        """The ids of all, in their order."""
        return (one.id for one in self._members)

    def _schema(self, names: Sequence[str]) -> Schema:
        """The types of what is told under names."""
        schema: dict[str, str] = {}
        for name in names:
            values = (one.columns.get(name) for one in self._members)
            types = {type_of(value) for value in values if value is not None}
            if types == {"int64", "float64"}:
                types = {"float64"}
            if len(types) != 1 or None in types:
                found = "several types of values" if types else "nothing"
                raise SourceError(
                    f"{self.name}: of the pictures {found} is told as {name!r}; leave this column "
                    "out, or keep a table of it with --metadata"
                )
            schema[name] = str(*types)
        try:
            return joined({}, schema)
        except ValueError as error:
            raise SourceError(f"{self.name}: {error}") from error

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Item]:
        for one in self._members:
            load = partial(_load, one, self._reading)
            yield Item(one.id, one.label, load, one.columns, file=str(one.path))


def _members(path: Path, columns: Sequence[str]) -> list[_Member]:
    """The pictures of a file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"{shown(path)}: not a regular file; leave it out")
        found, told = _of_zip(path) if zipfile.is_zipfile(path) else _of_tar(path)
    except SourceError:
        raise
    except (OSError, ValueError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        see_memory(error, shown(path))
        reason = shown(str(error).partition("\n")[0]) or type(error).__name__
        raise SourceError(
            f"{shown(path)}: cannot be read as tar or zip ({reason}); a tar must not be "
            "compressed: unpack it, and name the folder"
        ) from error
    return [_named(path, *one, told, columns) for one in found]


_Found = tuple[list[tuple[str, int, int]], dict[str, dict[str, bytes]]]
"""Name, offset and size of each picture; and what is told of pictures, by name and suffix."""


def _of_tar(path: Path) -> _Found:
    found, told = [], dict[str, dict[str, bytes]]()
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            stem, suffix = _parts(member.name)
            if not member.isreg():
                continue
            if is_picture_name(member.name):
                found.append((member.name, member.offset_data, member.size))
            elif suffix in _ABOUT and member.size <= _MOST_TOLD:
                content = tar.extractfile(member)
                told.setdefault(stem, {})[suffix] = content.read() if content else b""
    return found, told


def _of_zip(path: Path) -> _Found:
    found, told = [], dict[str, dict[str, bytes]]()
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            stem, suffix = _parts(member.filename)
            if member.is_dir() or member.filename.startswith("__MACOSX/"):
                continue
            if is_picture_name(member.filename):
                found.append((member.filename, 0, member.file_size))
            elif suffix in _ABOUT and member.file_size <= _MOST_TOLD:
                with archive.open(member) as content:
                    told.setdefault(stem, {})[suffix] = content.read(_MOST_TOLD)
    return found, told


def _parts(name: str) -> tuple[str, str]:
    """A path without what follows the first dot of its last part, and that, in lower case."""
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.partition(".")
    return folder + slash + stem, (dot + suffix).lower()


def _named(
    path: Path,
    name: str,
    offset: int,
    size: int,
    told: dict[str, dict[str, bytes]],
    columns: Sequence[str],
) -> _Member:
    """A picture under the name and the label that are told of it, or those of its path."""
    about = told.get(_parts(name)[0], {})
    plain = name.removeprefix("./").encode("utf-8", "surrogateescape")
    own = plain.decode("utf-8", "backslashreplace")
    label = own.partition("/")[0] if "/" in own else None
    known: Any = {}
    if ".json" in about:
        try:
            known = json.loads(about[".json"])
        except (ValueError, RecursionError):
            known = {}
        known = known if isinstance(known, dict) else {}
    if ".cls" in about:
        number = about[".cls"].decode("utf-8", "replace").strip()
        label = None if number in ("", "-1") else number
    if "label" in known:
        label = None if known["label"] in (None, -1) else str(known["label"])
    if ".txt" in about and "txt" in columns:
        known = {"txt": about[".txt"].decode("utf-8", "replace").strip(), **known}
    given = known.get("id")
    id_ = given if _is_name(given) else own
    kept = {column: known[column] for column in columns if known.get(column) is not None}
    return _Member(path, name, offset, size, id_, label, kept)


def _is_name(value: object) -> bool:
    """Whether a value can be an id."""
    return isinstance(value, str) and bool(value) and value.isprintable()


def _load(member: _Member, reading: Reading) -> Image:
    """Decode a picture."""
    where = f"{shown(member.path)}: {shown(member.name)}"
    if member.size > MOST_BYTES:
        raise ImageError(f"{where}: {member.size:,} bytes are too many for a picture; leave it out")
    try:
        if member.offset:
            with member.path.open("rb") as file:
                file.seek(member.offset)
                data = file.read(member.size)
        else:
            with _zip(member.path, member.path.stat().st_mtime_ns).open(member.name) as content:
                data = content.read(MOST_BYTES)
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        see_memory(error, where)
        raise ImageError(f"{where}: cannot be read ({error}); repair the file") from error
    return read_image(data, reading, where=where)


@lru_cache(maxsize=16)
def _zip(path: Path, changed: int) -> zipfile.ZipFile:
    """A zip, its directory read once; threads may read of it at once."""
    del changed
    return zipfile.ZipFile(path)
