"""Exporting: an archive's images, drawn, in the forms in which data sets are handed on."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias, get_args

from kinpack.archive.revisions.opened import Readable, opened
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.revisions.stored_files import SUFFIXES
from kinpack.archive.segments.guard.column_table import optional_columns
from kinpack.archive.segments.image_entry import ImageEntry
from kinpack.archive.stores.handles import create_file
from kinpack.archive.stores.staged_file import staged_folder
from kinpack.arguments import path_of
from kinpack.column_types import Schema
from kinpack.errors import ArchiveError, MissingExtraError, shown
from kinpack.integrations.unpacking import FileFormat, Unsafe, unpack
from kinpack.limits import batches
from kinpack.pictures.picture_writing import encode_image
from kinpack.progress import Progress

Form: TypeAlias = Literal["parquet", "lance", "webdataset", "imagefolder"]
"""Parquet as the Hugging Face hub has it, a Lance data set, tar files of WebDataset, or folders."""

UNLABELLED = "unlabelled"
"""The class in an image folder of images that have no label."""

SHARD_BYTES = 256 << 20
"""Bytes of pictures after which a new Parquet or tar file begins."""
GROUP = 1000
"""Most rows of a row group."""


def export(
    archive: Readable,
    folder: str | os.PathLike[str],
    form: Form,
    *,
    format: FileFormat = "png",  # noqa: A002 (the name that Pillow and the command line use)
    unsafe: Unsafe = "rename",
    threads: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Write the images of an archive as a data set.

    Columns that were added to the archive are there in each form, of the same names.

    - ``parquet``: ``train-00000.parquet`` and so on, with the columns ``image`` (a struct of
      ``bytes`` and ``path``), ``label`` (a class, null for none) and ``id``, described so that the
      ``datasets`` library and the hub show pictures and classes.
    - ``lance``: a data set of the columns ``id``, ``label`` (null for none) and ``image``, the
      bytes of a picture. Needs the extra ``lance``.
    - ``webdataset``: ``shard-000000.tar`` and so on; each image is a picture and a ``.json`` with
      ``id`` and ``label`` under the same running number.
    - ``imagefolder``: a folder for each label, and ``labels.csv``, which names every file.

    Files of Parquet and tar begin anew after 256 MiB. Their folder appears whole, or not at all.

    Args:
        archive: what to export, open or by its path or address.
        folder: where to; it must not exist.
        form: of the data set.
        format: of the pictures: ``png``, ``webp`` (both lossless), ``jpeg``, or ``stored``, as
            for ``unpack``.
        unsafe: of an image folder, what happens to ids that are no safe paths, as for ``unpack``.
        threads: for decoding; by default as many as suit the machine.
        progress: called with the number of images just written.

    Returns:
        How many images were written.

    Raises:
        ArchiveError: the folder exists or cannot be written, a label is no name of a folder, or a
            file of the archive is missing or damaged.
        ImageError: the format cannot hold an image.
        MissingExtraError: the package for Lance is not installed.
        PayloadError: a packet is damaged.
    """
    root = path_of(folder, "the data set", ArchiveError)
    if form not in get_args(Form):
        raise ArchiveError(f"there is no form {form!r}; it is one of {', '.join(get_args(Form))}")
    if form == "lance":
        _lance()  # told before anything is drawn
    with opened(archive) as reader:
        if form == "imagefolder":
            if os.path.lexists(root):
                raise ArchiveError(f"{shown(root)}: this path exists; name a new folder")
            names = [_class_path(reader, entry) for entry in reader.entries()]
            return unpack(
                reader,
                root,
                format=format,
                names=names,
                unsafe=unsafe,
                threads=threads,
                progress=progress,
            )
        with staged_folder(root) as (part, within):
            pictures = _pictures(reader, format, threads, progress)
            if form == "parquet":
                return _write_parquet(reader, within, pictures)
            if form == "lance":
                return _write_lance(part, pictures, reader.columns)  # which takes no handle
            return _write_tars(within, pictures)


class _Picture(NamedTuple):
    """An image's entry, its picture file, and what the file's name ends in."""

    entry: ImageEntry
    data: bytes
    suffix: str


_Pictures: TypeAlias = Iterator[_Picture]


def _pictures(
    archive: Reader, picture: FileFormat, threads: int | None, progress: Progress | None
) -> _Pictures:
    if picture == "stored":
        for entry, file in archive.files(threads=threads):
            yield _Picture(entry, file.data, SUFFIXES[file.media_type])
            if progress:
                progress(1)
        return
    for entry, image in archive.images(threads=threads):
        where = f"{archive.where}: image {entry.id!r}"
        yield _Picture(entry, encode_image(image, format=picture, where=where), f".{picture}")
        if progress:
            progress(1)


def _new_file(name: str, within: int) -> BinaryIO:
    """A new file in a folder, to be written."""
    return os.fdopen(create_file(name, within), "wb")


def _write_parquet(archive: Reader, within: int, pictures: _Pictures) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    classes = sorted({label for label in archive.labels if label is not None})
    class_number = {name: place for place, name in enumerate(classes)}
    others = [column for column in optional_columns(archive.columns) if column.name != "label"]
    features = {
        "image": {"_type": "Image"},
        "label": {"names": classes, "_type": "ClassLabel"},
        "id": {"dtype": "string", "_type": "Value"},
        **{one.name: {"dtype": _feature(one.arrow_type), "_type": "Value"} for one in others},
    }
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("label", pa.int64()),
            ("id", pa.string()),
            *((column.name, column.arrow_type) for column in others),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    count = 0
    for number, shard in enumerate(_shards(pictures)):
        with (
            _new_file(f"train-{number:05d}.parquet", within) as file,
            pq.ParquetWriter(file, schema, compression={"image.path": "zstd", "id": "zstd"}) as to,
        ):
            for group in _groups(shard):
                rows: list[dict[str, Any]] = []
                for entry, data, suffix in group:
                    picture = {"bytes": data, "path": f"{count:09d}{suffix}"}
                    label = None if entry.label is None else class_number[entry.label]
                    known = {**entry.columns, "label": label}
                    rows.append({"image": picture, "id": entry.id, **known})
                    count += 1
                to.write_table(pa.Table.from_pylist(rows, schema=schema))
    return count


def _feature(type_: Any) -> str:
    """The name that the hub has for an Arrow type."""
    named = {"double": "float64", "float": "float32", "date32[day]": "date32"}
    return named.get(str(type_), str(type_))


def _lance() -> Any:
    """The library that writes Lance, or an error that says how to get it."""
    try:
        import lance
    except ImportError as error:
        raise MissingExtraError(
            "to export as lance, install the extra: pip install 'kinpack[lance]'"
        ) from error
    return lance


def _write_lance(folder: Path, pictures: _Pictures, columns: Schema) -> int:
    import pyarrow as pa

    known = [(column.name, column.arrow_type) for column in optional_columns(columns)]
    schema = pa.schema([("id", pa.string()), *known, ("image", pa.binary())])
    count = 0
    failures: list[BaseException] = []

    def record_batches() -> Iterator[Any]:
        nonlocal count
        try:
            for group in _groups(pictures):
                count += len(group)
                rows = [(entry.id, *entry.columns.values(), data) for entry, data, _ in group]
                arrays = zip(zip(*rows, strict=True), schema.types, strict=True)
                yield pa.record_batch([pa.array(list(a), t) for a, t in arrays], schema=schema)
        except BaseException as error:  # Lance would hand on no more than its text
            failures.append(error)
            raise

    try:
        reader = pa.RecordBatchReader.from_batches(schema, record_batches())
        _lance().write_dataset(reader, str(folder), schema=schema)
    except BaseException:
        if failures:
            raise failures[0] from None
        raise
    return count


def _shards(pictures: _Pictures) -> Iterator[_Pictures]:
    """Pictures for one file after the other, each to be read to its end; of none for one."""
    coming = next(pictures, None)

    def shard() -> _Pictures:
        nonlocal coming
        n_bytes = 0
        while coming is not None and n_bytes < SHARD_BYTES:
            yield coming
            n_bytes += len(coming.data)
            coming = next(pictures, None)

    yield shard()
    while coming is not None:
        yield shard()


def _groups(pictures: _Pictures) -> Iterator[list[_Picture]]:
    """Pictures some at a time: a thousand, or fewer where they are large."""
    return batches(pictures, GROUP, n_bytes=lambda one: len(one.data), full=SHARD_BYTES)


def _write_tars(within: int, pictures: _Pictures) -> int:
    count = 0
    for number, shard in enumerate(_shards(pictures)):
        with (
            _new_file(f"shard-{number:06d}.tar", within) as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for entry, data, ending in shard:
                about = json.dumps({"id": entry.id, **entry.json_columns()}).encode()
                for suffix, content in ((ending, data), (".json", about)):
                    info = tarfile.TarInfo(f"{count:09d}{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
                count += 1
    return count


def _class_path(archive: Reader, entry: ImageEntry) -> str:
    """The path of an image below a folder of its class; an id that begins so stays as it is."""
    label = UNLABELLED if entry.label is None else entry.label
    if not label or "/" in label:
        raise ArchiveError(
            f"{archive.where}: the label {label!r} is no name of a folder; export as parquet "
            "or webdataset"
        )
    return entry.id if entry.id.startswith(f"{label}/") else f"{label}/{entry.id}"
