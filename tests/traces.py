"""Traces of images: what of them is still in files, as bytes and as other programs read them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from kinpack.archive.archive import Archive
from kinpack.pictures.picture_writing import encode_image
from tests.object_backends import Backend


@dataclass(frozen=True)
class Trace:
    """What must not be found of an image.

    Attributes:
        id: its id.
        payload: its payload.
        picture: the file that it is exported as.
        code: its code of the archive's describer, if that has one.
    """

    id: str
    payload: bytes
    picture: bytes
    code: bytes


def traces_of(archive: Archive, ids: Iterable[str]) -> list[Trace]:
    """The traces that images of an open archive leave."""
    codes = archive.codes_of("tiny")[0] if archive.describers else np.zeros((len(archive), 0))
    return [
        Trace(
            name,
            archive.packet(name).payload,
            encode_image(archive.read(name), format="png", where=name),
            codes[archive.position(name)].tobytes(),
        )
        for name in ids
    ]


def files_of(place: Path | str, backend: Backend | None = None) -> dict[str, bytes]:
    """All files of an archive, or all that lie below a folder; those in zips too."""
    if backend is not None:
        return backend.objects(str(place))
    path = Path(place)
    files = {
        file.relative_to(path.parent).as_posix(): file.read_bytes()
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.is_file()
    }
    for name, data in list(files.items()):
        if data.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                files.update((f"{name}/{one}", archive.read(one)) for one in archive.namelist())
    return files


def found(files: Mapping[str, bytes], traces: Iterable[Trace]) -> list[str]:
    """Where something of an image is: in the bytes of a file, its columns, or its codes."""
    places = []
    for name, data in files.items():
        values: set[object] = set()
        if data.startswith(b"PAR1"):
            table = pq.read_table(io.BytesIO(data))
            for column in {"id", "payload"}.intersection(table.column_names):
                values.update(table[column].to_pylist())
        for trace in traces:
            if any(part in data for part in (trace.id.encode(), trace.payload, trace.picture)):
                places.append(f"{name}: bytes of {trace.id}")
            if not values.isdisjoint((trace.id, trace.payload)):
                places.append(f"{name}: a row of {trace.id}")
            if "codes/" in name and trace.code and trace.code in data:
                places.append(f"{name}: a code of {trace.id}")
    return places
