"""Memory that runs out is told as such, whatever it was that asked for it, and never as damage."""

from __future__ import annotations

import errno
import http.client
import os
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.stores import handles
from kinpack.codec.codec import Codec
from kinpack.codec.packets.target import Target
from kinpack.errors import ImageError
from kinpack.pictures.images import load_image
from kinpack.pictures.picture_writing import encode_image, save_image
from kinpack.sources.opening import open_source
from tests.archive_checks import content, expected, make, reopened

IMAGES = [np.full((6, 8, 3), level, np.uint8) for level in (10, 200)]
LACKS = {
    "MemoryError": MemoryError(),
    "ENOMEM": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "libavif": RuntimeError("Pixel allocation failed: Out of memory"),
    "bad_alloc": RuntimeError("std::bad_alloc"),
    "lock": RuntimeError("can't allocate lock"),
}


def refusing(lack: Exception) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> None:
        raise lack

    return call


def photos(folder: Path) -> Path:
    folder.mkdir()
    for number, image in enumerate(IMAGES):
        save_image(image, folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("lack", LACKS)
@pytest.mark.parametrize(
    ("owner", "name"),
    [(PIL.Image, "open"), (PIL.ImageFile.ImageFile, "load"), (PIL.Image.Image, "getexif")],
)
def test_no_picture_is_left_out_for_want_of_memory(
    tmp_path: Path, owner: Any, name: str, lack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, path = open_source(photos(tmp_path / "photos")), make(tmp_path / "a.kin")
    with monkeypatch.context() as patch, reopened(path) as archive:
        patch.setattr(owner, name, refusing(LACKS[lack]))
        with pytest.raises(MemoryError, match=r"photos/0\.png: memory ran out"):
            archive.add(source, skip_broken=True)
    assert content(path) == expected(pictures(10))


def tables(folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    cells = [{"bytes": encode_image(image, format="png", where="x")} for image in IMAGES]
    pq.write_table(pa.table({"image": cells}), folder / "train.parquet")
    return folder


@pytest.mark.parametrize("lack", ["MemoryError", "ENOMEM"])
def test_no_table_folder_file_or_server_is_blamed_for_it(
    tmp_path: Path, lack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    path, folder = make(tmp_path / "a.kin"), tables(tmp_path / "tables")
    source = open_source(folder)
    (tmp_path / "x.kinc").write_bytes(b"a codec")
    works: list[tuple[Any, str, Callable[[], Any]]] = [
        (pq, "ParquetFile", lambda: list(source)),
        (pq, "ParquetFile", lambda: open_source(folder)),
        (os, "scandir", lambda: open_source(tmp_path)),
        (Path, "read_bytes", lambda: Codec.load(tmp_path / "x.kinc")),
        (Path, "open", lambda: save_image(IMAGES[0], tmp_path / "x.png")),
        (handles.system, "pread", lambda: content(path)),
        (http.client.HTTPConnection, "request", lambda: Archive.open("http://127.0.0.1:1/a.zip")),
    ]
    for owner, name, work in works:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, refusing(LACKS[lack]))
            with pytest.raises(MemoryError):
                work()
    assert content(path) == expected(pictures(10))
    assert len(list(source)) == 2


@pytest.mark.parametrize("lack", ["MemoryError", "bad_alloc"])
def test_no_network_is_called_faulty_for_it(lack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnxruntime, "InferenceSession", refusing(LACKS[lack]))
    with pytest.raises(MemoryError, match="memory ran out"):
        Codec.load("default").encode([IMAGES[0]], Target(quality=50, classic="never"))


def in_child(work: Callable[[], str]) -> str:
    """What some work says that is done in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        said = "it failed"
        try:
            said = work()
        except (MemoryError, ImageError) as error:
            said = str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        said = file.read().decode()
    os.waitpid(child, 0)
    return said


def readings(path: Path) -> set[str]:
    """What comes of reading a picture in processes that may have a few MiB more than they have."""
    data = path.read_bytes()
    PIL.Image.init()

    def read(more: int) -> str:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.RLIM_INFINITY))
        load_image(data)
        return "read"

    return {in_child(partial(read, more << 20)) for more in (0, 3, 6, 12, 24, 300)}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP"])
def test_a_whole_picture_is_read_or_memory_is_told_of(tmp_path: Path, form: str) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not tell what a process has")
    PIL.Image.init()
    options = {"WEBP": {"method": 0}, "AVIF": {"speed": 10}}.get(form, {})

    def save() -> str:
        PIL.Image.new("RGB", (2400, 2000)).save(tmp_path / "x", form, **options)
        return "saved"

    assert in_child(save) == "saved"
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # this one may have room to spare
        said = pool.submit(readings, tmp_path / "x").result()
    assert said == {"read", "bytes in memory: memory ran out; try again where more is free"}
