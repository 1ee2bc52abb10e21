"""Images as files: what lies in the archive gets its head back, and everything else becomes PNG."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from kinpack import Archive, Codec, Item, export, unpack
from kinpack.archive.revisions.stored_files import file_type, stored_files
from kinpack.codec.classic.payloads import TILE, candidates
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.errors import ArchiveError, PayloadError
from kinpack.pictures.images import Image
from tests.cli_runs import one_error, run


def soft(channels: int, *, height: int = 40, width: int = 56) -> Image:
    """A smooth picture; alpha goes from 0 to 255."""
    down, across = np.mgrid[0:height, 0:width]
    planes = [down + across, 2 * across + 9, 250 - 3 * down, 5 * across]
    return np.stack(planes[:channels], 2).clip(0, 255).astype(np.uint8)


def pixels(data: bytes) -> NDArray[np.uint8]:
    """What any program draws of a file, uint8 (H, W, C)."""
    drawn: NDArray[np.uint8] = np.asarray(PIL.Image.open(io.BytesIO(data)))
    return drawn[:, :, None] if drawn.ndim == 2 else drawn


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Images of every kind of payload, by name."""
    path = tmp_path_factory.mktemp("stored") / "a.kin"
    ways: list[tuple[str, Image, int, str]] = [
        ("set/grey.jpg", soft(1), 60, "always"),
        ("set/colour.png", soft(3), 60, "always"),
        ("alpha", soft(4), 60, "always"),
        ("lossless", soft(3), 100, "always"),
        ("learned", soft(3), 40, "never"),
        ("long", soft(3, height=2, width=TILE + 8), 60, "always"),
    ]
    with Archive.create(path, "default", describer=None) as made:
        for name, image, quality, classic in ways:
            made.add([Item(name, "x", image.copy)], quality=quality, classic=classic)
    with Archive.open(path) as opened:
        yield opened


TYPES = {
    "set/grey.jpg": "image/avif",
    "set/colour.png": "image/avif",
    "alpha": "image/png",
    "lossless": "image/png",
    "learned": "image/png",
    "long": "image/png",
}


@pytest.mark.parametrize("name", TYPES)
def test_a_file_shows_what_the_archive_draws(archive: Archive, name: str) -> None:
    media_type, data = archive.file(name)
    assert media_type == TYPES[name] == file_type(archive.entry(name))
    assert PIL.Image.open(io.BytesIO(data)).get_format_mimetype() == media_type
    assert (pixels(data)[:, :, : archive.entry(name).channels] == archive.read(name)).all()


def test_files_are_those_of_each_image(archive: Archive) -> None:
    found = {entry.id: file for entry, file in archive.files(batch=2)}
    assert found == {name: archive.file(name) for name in archive.ids}


@pytest.mark.parametrize("kind", [Kind.AVIF, Kind.WEBP])
@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_is_coded_anew(kind: Kind, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the one that the image library wrote, byte for byte."""
    written: list[bytes] = []
    save = PIL.Image.Image.save

    def kept(self: PIL.Image.Image, file: io.BytesIO, *words: object, **options: object) -> None:
        save(self, file, *words, **options)  # type: ignore[arg-type]
        written.append(file.getvalue())

    image = soft(channels)
    with monkeypatch.context() as patched:
        patched.setattr(PIL.Image.Image, "save", kept)
        (made,) = candidates(image, quality=60, kinds=[kind])
    packet = Packet(56, 40, channels, kind, 60, made.payload)
    (file,) = stored_files([packet], lambda _: [], lambda _: "image")
    assert file.data in written
    assert len(file.data) > len(packet.payload)


def test_a_damaged_payload_is_told_with_its_image() -> None:
    packet = Packet(56, 40, 3, Kind.AVIF, 60, b"\xff")
    with pytest.raises(PayloadError, match="x: image 'a'"):
        stored_files([packet], lambda _: [], lambda _: "x: image 'a'")


def test_unpacked_files_are_the_stored_ones(archive: Archive, tmp_path: Path) -> None:
    assert unpack(archive, tmp_path / "out", format="stored") == len(TYPES)
    found = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*.*")
        if path.name != "labels.csv"
    }
    names = {"set/grey.jpg": "set/grey.avif", "set/colour.png": "set/colour.avif"}
    assert found == {names.get(i, f"{i}.png"): archive.file(i).data for i in TYPES}
    with pytest.raises(ArchiveError, match=r"there is no format .bmp.*stored"):
        unpack(archive, tmp_path / "other", format="bmp")  # type: ignore[arg-type]


def test_a_data_set_of_stored_files(archive: Archive, tmp_path: Path) -> None:
    export(archive, tmp_path / "set", "parquet", format="stored")
    rows = pq.read_table(tmp_path / "set" / "train-00000.parquet").to_pylist()
    assert [row["image"]["bytes"] for row in rows] == [archive.file(i).data for i in TYPES]
    endings = [row["image"]["path"].rpartition(".")[2] for row in rows]
    assert endings == [kind.partition("/")[2] for kind in TYPES.values()]


def test_get_writes_the_stored_file(archive: Archive, tmp_path: Path) -> None:
    where = archive.where.rstrip("/")
    run("get", where, "set/colour.png", "-o", tmp_path / "a.avif")
    assert (tmp_path / "a.avif").read_bytes() == archive.file("set/colour.png").data
    result = run("get", where, "set/colour.png", "-o", "-")
    assert result.stdout_bytes == archive.file("set/colour.png").data
    refused = run("get", where, "alpha", "-o", tmp_path / "b.avif", code=1)
    assert "name a .png file" in one_error(refused.stderr)
    refused = run("get", where, "alpha", "-o", "-", "--json", code=1)
    assert "leave one" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.avif"]


def test_a_codec_without_networks_gives_files(tmp_path: Path) -> None:
    with Archive.create(tmp_path / "b.kin", Codec.load("classic"), describer=None) as made:
        made.add([Item("a", None, soft(3).copy)])
        assert made.file("a").media_type == "image/avif"
