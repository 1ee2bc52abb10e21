"""Unpacking: every image of an archive becomes a file below a folder, and a table names them."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from kinpack.archive.revisions.opened import Readable, opened
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.revisions.stored_files import SUFFIXES, file_type
from kinpack.archive.segments.guard.column_table import optional_columns
from kinpack.archive.segments.image_entry import ImageEntry
from kinpack.archive.stores.handles import create_file, open_folder, release, system
from kinpack.archive.stores.staged_file import staged_file
from kinpack.archive.stores.system_errors import refusal
from kinpack.arguments import path_of
from kinpack.column_types import Schema, json_value
from kinpack.errors import ArchiveError, shown
from kinpack.pictures.formats import PICTURE_SUFFIXES
from kinpack.pictures.images import Image
from kinpack.pictures.picture_writing import Format, encode_image
from kinpack.progress import Progress

TABLE = "labels.csv"
"""The table of an unpacked archive, one row an image: ``file``, ``id``, ``label``, and what else
is known of it."""

FileFormat: TypeAlias = Format | Literal["stored"]
"""A format of pictures that are written; ``stored`` is each image's own, AVIF, WebP or PNG."""

_SUFFIXES: dict[Format, str] = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")
# Names that Windows gives to devices in every folder, whatever their suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³])\s*(\..*)?", re.I)
# Windows drops these at the end of a name.
_DROPPED = " ."
# What file systems hold: a name of 255 bytes, with room for a suffix and a number; a path.
_NAME_BYTES = 240
_PATH_BYTES = 3000
_DEEPEST = 64
# Most that waits to be written.
_WAITING_BYTES = 64 << 20
_WAITING = 64


def unpack(
    archive: Readable,
    folder: str | os.PathLike[str],
    *,
    format: FileFormat = "png",  # noqa: A002 (the name that Pillow and the command line use)
    names: Sequence[str] | None = None,
    force: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Write every image of an archive as a file, and ``labels.csv``, which names them all.

    Files appear whole, one after the other, and the table last: where it is, all files are.

    Args:
        archive: what to unpack, open or by its path or address.
        folder: where to; it is made if it is missing.
        format: of the files: ``png``, ``webp`` (both lossless) or ``jpeg``.
        names: what the files are named after, in the order of positions; by default the ids.
        force: whether the folder may hold something; files of the same names are replaced then.
        threads: for decoding and writing; by default as many as suit the machine.
        progress: called with the number of images just written.

    Returns:
        How many images were written.

    Raises:
        ArchiveError: the folder is not empty or cannot be written, a link is in the way, an id is
            no path below a folder, or a file of the archive is missing or damaged.
        ImageError: the format cannot hold an image.
        PayloadError: a packet is damaged.
    """
    root = path_of(folder, "the folder", ArchiveError)
    with opened(archive) as reader:
        ids = reader.ids
        suffixes = _suffixes(reader, format)
        files = file_names(ids if names is None else names, suffixes, where=reader.where)
        with _prepared(root, force) as within:
            for folder_name in sorted({file.rpartition("/")[0] for file in files}):
                with _told(root / folder_name), _below(within, folder_name):
                    pass
            write = partial(_write, root, within)
            _write_files(_pictures(reader, format, threads), files, write, threads, progress)
        _write_table(root / TABLE, files, reader.entries(), reader.columns)
    return len(files)


def _suffixes(reader: Reader, picture: FileFormat) -> list[str]:
    """The suffix of every image's file."""
    if picture == "stored":
        return [SUFFIXES[file_type(entry)] for entry in reader.entries()]
    if picture not in _SUFFIXES:
        raise ArchiveError(
            f"there is no format {picture!r}; it is one of {', '.join([*_SUFFIXES, 'stored'])}"
        )
    return [_SUFFIXES[picture]] * len(reader)


def _pictures(
    reader: Reader, picture: FileFormat, threads: int | None
) -> Iterator[tuple[Callable[[str], bytes], int]]:
    """What makes the file of every image, given what messages call it, and the bytes it holds."""
    if picture == "stored":
        for _, file in reader.files(threads=threads):
            yield partial(_as_it_is, file.data), len(file.data)
        return
    for _, image in reader.images(threads=threads):
        yield partial(_encoded, image, picture), image.nbytes


def _as_it_is(data: bytes, _: str) -> bytes:
    return data


def _encoded(image: Image, picture: Format, where: str) -> bytes:
    return encode_image(image, format=picture, where=where)


def _write_files(
    pictures: Iterator[tuple[Callable[[str], bytes], int]],
    files: Sequence[str],
    write: Callable[[str, Callable[[str], bytes]], None],
    threads: int | None,
    progress: Progress | None,
) -> None:
    """Write every image under its name."""
    waiting: deque[tuple[Future[None], int]] = deque()
    waiting_bytes = 0
    with ThreadPoolExecutor(threads or min(4, os.cpu_count() or 1)) as pool:
        try:
            for file, (make, n_bytes) in zip(files, pictures, strict=True):
                waiting.append((pool.submit(write, file, make), n_bytes))
                waiting_bytes += n_bytes
                while len(waiting) > _WAITING or waiting_bytes > _WAITING_BYTES:
                    waiting_bytes -= _settle(waiting, progress)
            while waiting:
                _settle(waiting, progress)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def file_names(ids: Sequence[str], suffixes: Sequence[str], *, where: str) -> list[str]:
    """Name the files that ids become: their paths below the folder, with "/" between.

    The suffix of a picture gives way to that of its file. Where ids would then share a file,
    also where their files differ only in case, all of them keep their own suffix too (``a.jpg``
    and ``a.png`` become ``a.jpg.png`` and ``a.png.png``); of those that still would, the second
    gets ``~2`` before its suffix, and so on.

    Args:
        ids: of the images, in the order of positions.
        suffixes: of the files, one for each, as ``.png``.
        where: what messages call the archive.

    Raises:
        ArchiveError: an id is no path below a folder that is safe on every system.
    """
    for name in ids:
        if fault := _fault(name):
            raise ArchiveError(
                f"{where}: the id {_short(name)} {fault}: no safe path to unpack to; fetch such "
                "images one by one: kinpack get ARCHIVE ID -o FILE"
            )
    short = [_without_suffix(name) + suffix for name, suffix in zip(ids, suffixes, strict=True)]
    often = Counter(map(_key, short))
    wanted = [
        file if often[_key(file)] == 1 else name + suffix
        for name, file, suffix in zip(ids, short, suffixes, strict=True)
    ]
    taken = {_key(TABLE), *map(_key, _folders(wanted))}
    numbers: dict[str, int] = {}  # the last that was given: many equal ids take no longer each
    files = []
    for file, suffix in zip(wanted, suffixes, strict=True):
        chosen, key = file, _key(file)
        while _key(chosen) in taken:
            numbers[key] = numbers.get(key, 1) + 1
            chosen = f"{file.removesuffix(suffix)}~{numbers[key]}{suffix}"
        taken.add(_key(chosen))
        files.append(chosen)
    return files


def _without_suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 (by the million)
    return stem if suffix.lower() in PICTURE_SUFFIXES else name


def _short(name: str) -> str:
    """An id for messages, however long it is."""
    return repr(name) if len(name) <= _NAME_BYTES else f"{name[:_NAME_BYTES]!r}…"


def _fault(name: str) -> str | None:
    """Why an id is no safe path below a folder, if it is not."""
    parts = name.split("/")
    if name.startswith("/"):
        return "is an absolute path"
    if ".." in parts:
        return "leads upward"
    if not all(part.rstrip(_DROPPED) for part in parts):
        return "has an empty part"
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "is no valid Unicode text"
    if max(sizes) > _NAME_BYTES or sum(sizes) > _PATH_BYTES or len(parts) > _DEEPEST:
        return "is longer or deeper than paths can be"
    if _DRIVE.match(name):
        return "begins with a drive letter"
    if "\\" in name or _CONTROL.search(name):
        return "holds a backslash or a control character"
    if any(_DEVICE.fullmatch(part) for part in parts):
        return "holds a name reserved for a device"
    if _key(parts[0]) == _key(TABLE):
        return "has the name of the table of labels"
    return None


def _key(file: str) -> str:
    """What two files share that cannot be told apart on every file system."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", file).casefold())
    if not any(f"{end}/" in f"{text}/" for end in _DROPPED):
        return text
    return "/".join(part.rstrip(_DROPPED) for part in text.split("/"))


def _folders(files: Iterable[str]) -> set[str]:
    """All folders that lie above files, as paths."""
    folders: set[str] = set()
    for folder in {file.rpartition("/")[0] for file in files}:
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


@contextmanager
def _prepared(root: Path, force: bool) -> Iterator[int]:
    """Handle of the folder to unpack to, which is made if it is missing."""
    with _told(root):
        try:
            root.mkdir(parents=True, exist_ok=True)
            within = open_folder(root)
        except OSError as error:
            if root.exists() and not root.is_dir():
                raise ArchiveError(
                    f"{shown(root)}: is a file; name a folder to unpack to"
                ) from error
            raise
    try:
        if not force and system.listdir(within):
            raise ArchiveError(
                f"{shown(root)}: the folder is not empty; name another one, or allow files to be "
                "replaced with --force"
            )
        yield within
    finally:
        release(within)


@contextmanager
def _below(within: int, name: str) -> Iterator[int]:
    """Handle of a folder below another, made where it is missing; no link leads there."""
    with ExitStack() as stack:
        for part in name.split("/") if name else ():
            with suppress(FileExistsError):
                system.mkdir(part, dir_fd=within)
            within = open_folder(part, within)
            stack.callback(release, within)
        yield within


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """A block in which a refusal of the system is told in one line."""
    try:
        yield
    except OSError as error:
        raise refusal(error, shown(path), "unpack") from error


def _write(root: Path, within: int, file: str, make: Callable[[str], bytes]) -> None:
    """Write an image below a folder; what has its name gives way, and a link is not followed."""
    folder, _, last = file.rpartition("/")
    data = make(shown(root / file))
    part = f".{uuid.uuid4().hex}.part"
    with _told(root / file), _below(within, folder) as handle:
        try:
            with os.fdopen(create_file(part, handle), "wb") as written:
                written.write(data)
            system.replace(part, last, src_dir_fd=handle, dst_dir_fd=handle)
        except BaseException:
            with suppress(OSError):
                system.unlink(part, dir_fd=handle)
            raise


def _settle(waiting: deque[tuple[Future[None], int]], progress: Progress | None) -> int:
    """Wait for the oldest file; gives its image's bytes."""
    future, n_bytes = waiting.popleft()
    future.result()
    if progress:
        progress(1)
    return n_bytes


def _write_table(
    path: Path, files: Sequence[str], entries: Iterable[ImageEntry], schema: Schema
) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", "id", *(column.name for column in optional_columns(schema))))
    table.writerows(
        (name, entry.id, *map(_cell, entry.columns.values()))
        for name, entry in zip(files, entries, strict=True)
    )
    with staged_file(path, replace=True) as file:
        file.write(text.getvalue().encode())


def _cell(value: Any) -> Any:
    """A value as other programs read it of such a table."""
    return str(value).lower() if isinstance(value, bool) else json_value(value)
