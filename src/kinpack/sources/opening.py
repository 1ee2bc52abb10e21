"""Sources: where images come from. A folder, files, arrays, or a Hugging Face data set.

``open_source`` makes a ``Source`` of what it is given: something of known length that can be
iterated any number of times and yields an ``Item`` for each picture, in the same order every time.
Items are lazy: a picture is decoded when its ``load`` is called.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image

from kinpack.errors import SourceError, see_memory, shown
from kinpack.pictures.formats import SUFFIXES, is_picture_name, suffix_of
from kinpack.pictures.images import Image, read_image, to_pil, validate_image
from kinpack.pictures.reading import Damaged, Reading, SampleRange, Size, check_size, reduced
from kinpack.sources.folders import TABLES, LeftOut, Patterns, scan
from kinpack.sources.items import Item, Source, columns_of, ids_of
from kinpack.sources.packed_files import PACKED, PackedSource
from kinpack.sources.picture_files import Area, FileSource, utf8_name
from kinpack.sources.urls import UrlSource, is_list

Spec: TypeAlias = (
    str
    | os.PathLike[str]
    | npt.NDArray[Any]
    | Iterable[str | os.PathLike[str] | npt.NDArray[Any] | PIL.Image.Image]
    | Source
)
"""What ``open_source`` takes."""

# An owner and a name, as the hub shows them; a path of another form is never looked up there.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def open_source(
    spec: Spec,
    *,
    size: Size | None = None,
    split: str | None = None,
    column: str | None = None,
    labels: Sequence[object] | None = None,
    ids: Sequence[str] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    prefix: str = "",
    root: str | os.PathLike[str] | None = None,
    damaged: Damaged = "keep",
    sample_range: SampleRange = "auto",
    columns: Sequence[str] = (),
) -> Source:
    """Open a collection of pictures.

    ==========================  =====================================  ========================
    given                       ids                                    label
    ==========================  =====================================  ========================
    a folder with pictures      path below it, "/" between; sorted     first folder, if any
    a picture file              its file name                          none
    a list of files or folders  path below their common folder         first folder, if any
    an array (N, H, W[, C])     "000000", "000001", …                  ``labels``
    a list of arrays or Pillow  "000000", "000001", …                  ``labels``
    tar and zip files           path there, or the ``id`` in a json    first folder, or told
    a text file of addresses    address without "https://"             none
    a folder of Parquet files   "<split>/<row>", as "test/00042"       name of the class
    "owner/name" of the hub     "<split>/<row>"                        name of the class
    ==========================  =====================================  ========================

    In a folder, pictures are told by their suffix (``formats.SUFFIXES``), other files by their
    first bytes. Hidden files and folders are left out, and folders that a system keeps for itself
    (``folders.OTHERS``); ``left_out_of`` tells of all that is not taken. A link to a folder is
    followed unless it leads back to where it stands. A folder that holds Parquet (or Arrow) files
    and no picture is a Hugging Face data set, read in place without the ``datasets`` package; a
    name of the hub needs the extra ``datasets``.

    Args:
        spec: what to open; a ``Source`` is returned as it is.
        size: longest side, in pixels, to which larger pictures are reduced, ``(width, height)`` of
            a box that is to hold them, or "short:N" for the shortest side.
        split: the one split of a data set to take; by default all, in the data set's order.
        column: of a data set, the one that holds the pictures.
        labels: one label (or None) an array, for arrays only; −1 stands for none.
        ids: one id an array, for arrays only.
        include: patterns (``folders.Patterns``) of which a file of a folder must match one.
        exclude: patterns of which it must match none.
        prefix: what all ids begin with; of files, "beach/" gives the label "beach", too.
        root: of files and folders, the folder that ids are paths below.
        damaged: what is done with files that are cut short: ``keep`` takes what is there, and notes
            the share that is missing; ``refuse`` raises when one is loaded.
        sample_range: of grey samples of more than 8 bits, as for ``load_image``.
        columns: what else is to be kept of each picture. Of files ``file`` for path, size and time
            of change, ``exif`` for date and camera, ``gps`` for latitude and longitude, ``hash``
            for the SHA-256; of addresses ``url`` and ``hash``; of tar and zip files what their
            ``.json`` tell; of a data set the names of its columns.

    Raises:
        SourceError: nothing is there, it cannot be read or fetched, it holds no picture, two
            pictures have one id, or an option does not apply to it.
        MissingExtraError: a name of the hub without the ``datasets`` package.
    """
    if size is not None:
        check_size(size, SourceError)
    if not isinstance(prefix, str):
        raise SourceError(f"the prefix is {prefix!r}; give a text, as 'beach/'")
    source = _open(
        spec,
        Reading(size=size, damaged=damaged, sample_range=sample_range),
        Patterns(include=include, exclude=exclude),
        None if root is None else os.path.abspath(root),  # noqa: PTH100 (keeps links as they are)
        split=split,
        column=column,
        labels=labels,
        ids=ids,
        columns=tuple(columns),
    )
    if not prefix:
        return source
    return source.prefixed(prefix) if isinstance(source, FileSource) else _Prefixed(source, prefix)


def _open(
    spec: Spec,
    reading: Reading,
    patterns: Patterns,
    root: str | None,
    *,
    split: str | None,
    column: str | None,
    labels: Sequence[object] | None,
    ids: Sequence[str] | None,
    columns: tuple[str, ...],
) -> Source:
    if isinstance(spec, (str, os.PathLike)):
        if labels is not None or ids is not None:
            raise SourceError(
                f"{shown(spec)}: labels and ids can be given for arrays only; leave them out"
            )
        return _open_path(
            spec, reading, patterns, root, split=split, column=column, columns=columns
        )
    if is_dataset(spec):
        from kinpack.sources.huggingface import open_dataset

        return open_dataset(spec, reading=reading, split=split, column=column, columns=columns)
    if split is not None:
        raise SourceError(f"split {split!r}: only a data set has splits; leave it out")
    if isinstance(spec, Source):
        if reading.size is not None or labels is not None or ids is not None or columns:
            raise SourceError(
                f"{spec.name}: is open already; give size, labels and columns when opening it"
            )
        _refuse_for_others(patterns, root)
        return spec
    if isinstance(spec, bytes) or not isinstance(spec, Iterable):
        raise SourceError(
            f"a {type(spec).__name__} is no source; give a folder, files, arrays or a data set"
        )
    given: Any = spec if isinstance(spec, np.ndarray) else list(spec)
    if len(given) == 0:
        raise SourceError("no images in an empty list or array; give at least one")
    if not all(isinstance(one, (str, os.PathLike)) for one in given):
        _refuse_for_others(patterns, root)
        if columns:
            raise SourceError("arrays have no columns; give them in the columns of items")
        return _ArraySource(given, labels=labels, ids=ids, reading=reading)
    if labels is not None or ids is not None:
        raise SourceError("labels and ids can be given for arrays only; leave them out")
    return _open_list(given, reading, patterns, root, columns)


def is_dataset(given: object) -> bool:
    """Tell whether something is a ``datasets.Dataset``, or several by their splits."""
    return hasattr(given, "column_names") and hasattr(given, "with_format")


def _refuse_for_others(patterns: Patterns, root: str | None) -> None:
    """See that nothing is asked that makes sense for files alone."""
    if patterns.include or patterns.exclude:
        raise SourceError("patterns choose among the files of a folder; leave them out")
    if root is not None:
        raise SourceError("a root is for ids of files; leave it out")


def at_once_of(source: object) -> int:
    """How many pictures of a source should be loaded at a time; 0 where it does not matter."""
    found = getattr(source, "at_once", 0)
    return found if isinstance(found, int) else 0


def left_out_of(source: Source) -> LeftOut:
    """Tell what lies where a source is and is not taken; of other sources than folders nothing."""
    found = getattr(source, "left_out", None)
    return found if isinstance(found, LeftOut) else LeftOut()


def subset(source: Source, *, start: int = 0, stop: int | None = None) -> Source:
    """Take the items start to stop − 1 of a source, with the meaning of a slice's numbers."""
    first, last, _ = slice(start, stop).indices(len(source))
    return _Subset(source, first, max(first, last))


class _ArraySource:
    """Arrays or Pillow images in memory, numbered from 0."""

    name = "arrays"

    def __init__(
        self,
        images: npt.NDArray[Any] | list[Any],
        *,
        labels: Sequence[object] | None,
        ids: Sequence[str] | None,
        reading: Reading,
    ) -> None:
        if isinstance(images, np.ndarray):
            # (N, H, W) of one image (H, W, 3) would be H grey stripes: ask which is meant.
            if images.ndim not in (3, 4) or (images.ndim == 3 and images.shape[2] <= 4):
                raise SourceError(
                    f"an array of images has the shape (N, H, W) or (N, H, W, C), this has "
                    f"{images.shape}; add the missing axis (array[None] for a single image)"
                )
            validate_image(images[0], "image 0 of the array")
        for i, image in enumerate(images):
            if not isinstance(image, (np.ndarray, PIL.Image.Image)):
                raise SourceError(
                    f"element {i} of the list is a {type(image).__name__}; give only paths of "
                    "files, or only arrays and Pillow images"
                )
        if labels is not None and len(labels) != len(images):
            raise SourceError(f"{len(labels)} labels for {len(images)} images; give one each")
        if ids is not None and (len(ids) != len(images) or len(set(ids)) != len(ids)):
            raise SourceError(
                f"{len(set(ids))} ids for {len(images)} images; give each one of its own"
            )
        self._images, self._ids = images, ids
        self._labels = labels
        self._reading = reading

    def __len__(self) -> int:
        return len(self._images)

    @property
    def ids(self) -> Iterator[str]:
        """The ids of all, in their order."""
        digits = max(6, len(str(len(self) - 1)))
        return iter(self._ids or (f"{i:0{digits}}" for i in range(len(self))))

    def __iter__(self) -> Iterator[Item]:
        for i, (id_, image) in enumerate(zip(self.ids, self._images, strict=True)):
            label = None if self._labels is None else self._labels[i]
            yield Item(
                id_,
                None if label is None or is_none(label) else str(label),
                partial(_from_memory, image, self._reading, f"image {i} of the arrays"),
            )


class _Subset:
    """Items of another source from one position to another."""

    def __init__(self, source: Source, first: int, last: int) -> None:
        self.name = f"{source.name}[{first}:{last}]"
        self.left_out = left_out_of(source)
        self.root = getattr(source, "root", None)
        self.at_once = at_once_of(source)
        self.columns = columns_of(source)
        self._source, self._first, self._last = source, first, last

    @property
    def ids(self) -> Iterator[str]:
        """The ids of all, in their order."""
        return islice(iter(ids_of(self._source)), self._first, self._last)

    def __len__(self) -> int:
        return self._last - self._first

    def __iter__(self) -> Iterator[Item]:
        return islice(iter(self._source), self._first, self._last)


class _Prefixed:
    """Items of another source, whose ids begin with a text."""

    def __init__(self, source: Source, prefix: str) -> None:
        self.name = source.name
        self.left_out, self.at_once = left_out_of(source), at_once_of(source)
        self._source, self._prefix = source, prefix
        self.columns = columns_of(source)

    @property
    def ids(self) -> Iterator[str]:
        """The ids of all, in their order."""
        return (self._prefix + name for name in ids_of(self._source))

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Item]:
        for item in self._source:
            name = self._prefix + item.id
            yield replace(item, id=name)


def is_none(label: object) -> bool:
    """Tell whether a label is the number −1, which stands for none."""
    return isinstance(label, (int, np.integer)) and int(label) == -1


def _from_memory(image: npt.NDArray[Any] | PIL.Image.Image, reading: Reading, where: str) -> Image:
    if isinstance(image, PIL.Image.Image):
        return read_image(image, reading, where=where)
    array = validate_image(image, where)
    if reduced(array.shape[1], array.shape[0], reading.size) is None:
        return array
    return read_image(to_pil(array), reading, where=where)


def _open_path(
    spec: str | os.PathLike[str],
    reading: Reading,
    patterns: Patterns,
    root: str | None,
    *,
    split: str | None,
    column: str | None,
    columns: tuple[str, ...],
) -> Source:
    path, where = Path(spec), shown(spec)
    if not where:
        raise SourceError("the source is an empty name; give a folder, a file or a data set")
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _open_missing(spec, where, reading, split=split, column=column, columns=columns)
    except (OSError, ValueError) as error:
        see_memory(error, where)
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{where}: cannot be read ({reason}); check the path") from error
    if stat.S_ISDIR(mode):
        return _open_folder(
            path, where, reading, patterns, root, split=split, column=column, columns=columns
        )
    if suffix_of(path.name) in PACKED and split is None and root is None:
        return PackedSource(where, [path], reading, patterns, columns)
    if patterns.include or patterns.exclude:
        raise SourceError(f"{where}: patterns choose among the files of a folder; leave them out")
    if split is None and stat.S_ISREG(mode) and is_list(path):
        _refuse_for_others(patterns, root)
        return UrlSource(path, where, reading, columns)
    if suffix_of(path.name) in TABLES:
        from kinpack.sources.huggingface import open_tables

        _refuse_for_others(patterns, root)
        return open_tables(
            path.parent,
            [path.name],
            name=where,
            reading=reading,
            split=split,
            column=column,
            columns=columns,
        )
    if split is not None:
        raise SourceError(f"{where}: only a data set has splits; leave the split out")
    if root is not None:
        return FileSource(where, root, [_below(root, str(path), where)], reading, columns)
    return FileSource(where, str(path.parent), [path.name], reading, columns)


def _open_missing(
    spec: str | os.PathLike[str],
    where: str,
    reading: Reading,
    *,
    split: str | None,
    column: str | None,
    columns: tuple[str, ...],
) -> Source:
    """Open a data set of the hub, if what is not on this machine can be the name of one."""
    named = isinstance(spec, str) and _HUB_NAME.fullmatch(spec) and not is_picture_name(spec)
    if isinstance(spec, str) and named and not Path(spec).parent.exists():
        from kinpack.sources.huggingface import open_hub

        return open_hub(spec, reading=reading, split=split, column=column, columns=columns)
    raise SourceError(
        f"{where}: no such file or folder; check the path (a data set of the Hugging Face hub "
        "is named owner/name)"
    )


def _open_folder(
    path: Path,
    where: str,
    reading: Reading,
    patterns: Patterns,
    root: str | None,
    *,
    split: str | None,
    column: str | None,
    columns: tuple[str, ...],
) -> Source:
    found = scan(str(path), patterns)
    if found.pictures:
        if split is not None:
            raise SourceError(
                f"{where}: a folder of pictures has no split {split!r}; give one of its folders"
            )
        names = sorted(found.pictures, key=utf8_name)
        if root is None:
            area = Area(".", patterns)
            return FileSource(where, str(path), names, reading, columns, found.left_out, [area])
        above = _below(root, str(path), where)
        names = names if above == "." else [f"{above}/{name}" for name in names]
        area = Area(above, patterns)
        return FileSource(where, root, names, reading, columns, found.left_out, [area])
    packed = sorted(one for one in path.iterdir() if one.suffix.lower() in PACKED)
    stems = {one.stem for one in packed}  # img2dataset tells in tables of what it put into tars
    tables = [one for one in found.tables if Path(one).stem not in stems or "/" in one]
    if tables:
        from kinpack.sources.huggingface import open_tables

        _refuse_for_others(patterns, root)
        return open_tables(
            path,
            sorted(tables),
            name=where,
            reading=reading,
            split=split,
            column=column,
            columns=columns,
        )
    if packed and split is None and root is None:
        return PackedSource(where, packed, reading, patterns, columns)
    there = f"there: {found.left_out}" if found.left_out else "no files there"
    raise SourceError(
        f"no images in {where} ({there}); files that count end in {' '.join(sorted(SUFFIXES))}, or "
        "begin as pictures do"
    )


def _open_list(
    paths: Sequence[str | os.PathLike[str]],
    reading: Reading,
    patterns: Patterns,
    root: str | None,
    columns: tuple[str, ...],
) -> Source:
    """Open files and folders as one collection; a folder gives the pictures below it, sorted."""
    if all(suffix_of(str(path)) in PACKED for path in paths) and root is None:
        name = f"{len(paths)} files of tar or zip"
        return PackedSource(name, [Path(path) for path in paths], reading, patterns, columns)
    given = [os.path.abspath(path) for path in paths]  # noqa: PTH100 (keeps links as they are)
    folders = [path for path in given if os.path.isdir(path)]  # noqa: PTH112
    if not folders and (patterns.include or patterns.exclude):
        raise SourceError("patterns choose among the files of a folder; leave them out")
    files, left_out = [], LeftOut()
    for path, named in zip(given, map(shown, paths), strict=True):
        if not os.path.lexists(path):
            raise SourceError(f"{named}: no such file; check the path")
        if not os.path.isdir(path):  # noqa: PTH112
            files.append(path)
            continue
        found = scan(path, patterns)
        if not found.pictures and not (patterns.include or patterns.exclude):
            cure = "open a data set by itself" if found.tables else "leave it out"
            raise SourceError(f"{named}: no pictures in this folder; {cure}")
        files += [
            os.path.join(path, name)  # noqa: PTH118 (by the million)
            for name in sorted(found.pictures, key=utf8_name)
        ]
        left_out = left_out.with_those_of(found.left_out, os.path.basename(path))  # noqa: PTH119
    if not files:
        raise SourceError("the patterns leave no picture of all these; give others")
    if root is None:
        above = [os.path.dirname(path) for path in given if path not in set(folders)]  # noqa: PTH120
        root = os.path.commonpath([*above, *folders])
    names = [_below(root, file, file) for file in files]
    name = f"{len(names)} files below {shown(root)}"
    areas = [Area(_below(root, path, path), patterns) for path in folders]
    return FileSource(name, root, names, reading, columns, left_out, areas)


def _below(root: str, path: str, where: str) -> str:
    """The path of a file or folder below another one, "/" between its parts."""
    below = os.path.relpath(os.path.abspath(path), root)  # noqa: PTH100 (keeps links as they are)
    if below == os.pardir or below.startswith(os.pardir + os.sep):
        raise SourceError(
            f"{shown(where)}: does not lie below the root {shown(root)}; name another"
        )
    return below.replace(os.sep, "/")
