"""Unpacking: every image of an archive becomes a file below a folder, and a table names them."""

from __future__ import annotations

import csv
import io
import os
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

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
from kinpack.file_names import NAME_BYTES, fault_of, safe_name, same_file
from kinpack.pictures.formats import PICTURE_SUFFIXES
from kinpack.pictures.images import Image
from kinpack.pictures.picture_writing import Format, encode_image
from kinpack.progress import Progress

TABLE = "labels.csv"
"""The table of an unpacked archive, one row an image: ``file``, ``id``, ``label``, and what else
is known of it."""

Unsafe: TypeAlias = Literal["rename", "skip", "refuse"]
"""What happens to an id that is no path which is safe on every system."""

FileFormat: TypeAlias = Format | Literal["stored"]
"""A format of pictures that are written; ``stored`` is each image's own, AVIF, WebP or PNG."""

_SUFFIXES: dict[Format, str] = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
# Most that waits to be written.
_WAITING_BYTES = 64 << 20
_WAITING = 64


def unpack(
    archive: Readable,
    folder: str | os.PathLike[str],
    *,
    format: FileFormat = "png",  # noqa: A002 (the name that Pillow and the command line use)
    names: Sequence[str] | None = None,
    unsafe: Unsafe = "rename",
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
        unsafe: what happens to images whose ids are no paths below a folder that are safe on every
            system: ``rename`` gives their files a like name, which the table tells, ``skip`` leaves
            them out, ``refuse`` refuses all.
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
        wanted = ids if names is None else names
        files = file_names(wanted, suffixes, where=reader.where, unsafe=unsafe)
        with _prepared(root, force) as within:
            for folder_name in sorted({file.rpartition("/")[0] for file in files if file}):
                with _told(root / folder_name), _below(within, folder_name):
                    pass
            write = partial(_write, root, within)
            _write_files(_pictures(reader, format, threads), files, write, threads, progress)
        _write_table(root / TABLE, files, reader.entries(), reader.columns)
    return len(files) - files.count(None)


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
    files: Sequence[str | None],
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
                if file is None:
                    continue
                waiting.append((pool.submit(write, file, make), n_bytes))
                waiting_bytes += n_bytes
                while len(waiting) > _WAITING or waiting_bytes > _WAITING_BYTES:
                    waiting_bytes -= _settle(waiting, progress)
            while waiting:
                _settle(waiting, progress)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def file_names(
    ids: Sequence[str], suffixes: Sequence[str], *, where: str, unsafe: Unsafe = "refuse"
) -> list[str | None]:
    """Name the files that ids become: their paths below the folder, with "/" between.

    The suffix of a picture gives way to that of its file. Where ids would then share a file,
    also where their files differ only in case, all of them keep their own suffix too (``a.jpg``
    and ``a.png`` become ``a.jpg.png`` and ``a.png.png``); of those that still would, the second
    gets ``~2`` before its suffix, and so on.

    Args:
        ids: of the images, in the order of positions.
        suffixes: of the files, one for each, as ``.png``.
        where: what messages call the archive.
        unsafe: what happens to ids that are no paths below a folder that are safe on every system;
            one that is skipped gets no name.

    Raises:
        ArchiveError: there is such an id, and all are to be refused.
    """
    if unsafe not in get_args(Unsafe):
        raise ArchiveError(f"unsafe is {unsafe!r}; it is one of {', '.join(get_args(Unsafe))}")
    faults = {i: fault for i, fault in enumerate(map(_fault, ids)) if fault}
    if faults and unsafe == "refuse":
        place, fault = next(iter(faults.items()))
        raise ArchiveError(
            f"{where}: the id {_short(ids[place])} {fault}: no safe path to unpack to; choose "
            "--unsafe rename or --unsafe skip"
        )
    if faults and unsafe == "skip":
        kept = [i for i in range(len(ids)) if i not in faults]
        some = file_names([ids[i] for i in kept], [suffixes[i] for i in kept], where=where)
        named = dict(zip(kept, some, strict=True))
        return [named.get(i) for i in range(len(ids))]
    ids = [_safe(name) if i in faults else name for i, name in enumerate(ids)]
    short = [_without_suffix(name) + suffix for name, suffix in zip(ids, suffixes, strict=True)]
    often = Counter(map(same_file, short))
    wanted = [
        file if often[same_file(file)] == 1 else name + suffix
        for name, file, suffix in zip(ids, short, suffixes, strict=True)
    ]
    taken = {same_file(TABLE), *map(same_file, _folders(wanted))}
    numbers: dict[str, int] = {}  # the last that was given: many equal ids take no longer each
    files: list[str | None] = []
    for file, suffix in zip(wanted, suffixes, strict=True):
        chosen, key = file, same_file(file)
        while same_file(chosen) in taken:
            numbers[key] = numbers.get(key, 1) + 1
            chosen = f"{file.removesuffix(suffix)}~{numbers[key]}{suffix}"
        taken.add(same_file(chosen))
        files.append(chosen)
    return files


def _without_suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 (by the million)
    return stem if suffix.lower() in PICTURE_SUFFIXES else name


def _short(name: str) -> str:
    """An id for messages, however long it is."""
    return repr(name) if len(name) <= NAME_BYTES else f"{name[:NAME_BYTES]!r}…"


def _fault(name: str) -> str | None:
    """Why an id is no safe path beside the table of labels, if it is not."""
    return fault_of(name) or ("has the name of the table of labels" if _is_table(name) else None)


def _safe(name: str) -> str:
    """A safe path beside the table of labels, as like an id as can be."""
    safe = safe_name(name)
    return f"_{safe}" if _is_table(safe) else safe


def unsafe_ids(ids: Iterable[str]) -> list[str]:
    """The ids that are no safe paths to unpack to."""
    return [name for name in ids if _fault(name)]


def _is_table(name: str) -> bool:
    """Whether an id is that of the table of labels, or lies below it."""
    return same_file(name.partition("/")[0]) == same_file(TABLE)


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
    path: Path, files: Sequence[str | None], entries: Iterable[ImageEntry], schema: Schema
) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", "id", *(column.name for column in optional_columns(schema))))
    table.writerows(
        (name, entry.id, *map(_cell, entry.columns.values()))
        for name, entry in zip(files, entries, strict=True)
        if name is not None
    )
    with staged_file(path, replace=True) as file:
        file.write(text.getvalue().encode())


def _cell(value: Any) -> Any:
    """A value as other programs read it of such a table."""
    return str(value).lower() if isinstance(value, bool) else json_value(value)
