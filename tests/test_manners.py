"""Manners in Python: what people have is taken, and what is wrong gets a line that names a cure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from fakes.tiny_describer import GOLDEN
from kinpack import (
    Archive,
    Codec,
    Describer,
    KinpackError,
    copy,
    export,
    load_image,
    merge,
    open_source,
    repair,
    save_image,
    seal,
    unpack,
    unseal,
)
from kinpack.sources.items import Item

PICTURES = np.random.default_rng(14).integers(0, 256, (30, 24, 16, 3), np.uint8)
CODEC = Codec.load("classic")
DESCRIBER = Describer.load("classic")


class Tensor:
    """What there is of a torch tensor for whoever may not import torch."""

    def permute(self, *axes: int) -> Tensor:
        return self


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an archive of all pictures, lossless, and a picture file."""
    place = tmp_path_factory.mktemp("manners")
    with Archive.create(place / "a.kin", CODEC) as archive:
        archive.add(PICTURES, quality=100)
    PIL.Image.fromarray(PICTURES[4]).save(place / "query.png")
    return place


@pytest.fixture
def archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    monkeypatch.chdir(folder)
    with Archive.open("a.kin", codec=CODEC) as opened:
        yield opened


def test_a_query_may_be_whatever_holds_a_picture(archive: Archive, folder: Path) -> None:
    expected = archive.search(PICTURES[4], 5)
    assert expected[0].position == 4
    file = folder / "query.png"
    for query in (PIL.Image.open(file), file, file.read_bytes(), PICTURES[4].copy(order="F")):
        assert archive.search(query, np.int64(5)) == expected


def test_a_grey_query_needs_no_axis_of_channels(archive: Archive) -> None:
    grey = PICTURES[4, ..., 0]
    assert archive.search(grey, 5) == archive.search(grey[..., None], 5)


@pytest.mark.parametrize(
    ("query", "cure"),
    [
        (PICTURES[0] / 255, "astype(numpy.uint8)"),
        (PICTURES[0].astype(np.float32), "astype(numpy.uint8)"),
        (PICTURES[0] > 99, "astype(numpy.uint8)"),
        (-PICTURES[0].astype(np.int16), "astype(numpy.uint8)"),
        (PICTURES[0].transpose(2, 0, 1), "transpose(1, 2, 0)"),
        (PICTURES, "shape"),
        (Tensor(), "permute(1, 2, 0).numpy()"),
        (3, "path of a picture"),
        (None, "path of a picture"),
        ([PICTURES[0], 3], "path of a picture"),
        ([], "by a query"),
        (Path("missing.png"), "check the path"),
        (Path(), "path of a picture"),
        ("query.png", "Path('query.png')"),
        ("000099", "kinpack ls"),
    ],
)
def test_no_other_query_finds_anything(archive: Archive, query: Any, cure: str) -> None:
    with pytest.raises(KinpackError) as caught:
        archive.search(query)
    assert cure in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "3"])
def test_k_is_a_number_of_hits(archive: Archive, k: Any) -> None:
    with pytest.raises(KinpackError, match="1 or more"):
        archive.search("000000", k)


@pytest.mark.parametrize(
    ("act", "cure"),
    [
        (lambda archive: archive.read(3), r"archive\[N\]"),
        (lambda archive: archive.read(None), "an id is a string"),
        (lambda archive: archive.read(["000001"]), "read_many"),
        (lambda archive: archive.entry(np.int64(3)), r"archive\[N\]"),
        (lambda archive: archive.read_many("000001"), "read"),
        (lambda archive: archive.remove([0]), "an id is a string"),
        (lambda archive: archive.add("folder"), "check the path"),
        (lambda archive: archive.add(None), "give a folder"),
        (lambda archive: archive.add(PICTURES[0]), "array"),
        (lambda archive: archive.add([PICTURES[0] / 255], on_duplicate="replace"), "astype"),
        (lambda archive: archive.add(iter(PICTURES)), "open_source"),
        (lambda archive: archive.add(archive), "is there already"),
        (lambda archive: archive.add([Item("x", None, lambda: PICTURES[0] / 255)]), "astype"),
        (lambda _: Item(7, None, lambda: PICTURES[0]), "str"),  # type: ignore[arg-type]
        (lambda _: Item("x", 7, lambda: PICTURES[0]), "str"),  # type: ignore[arg-type]
        (lambda _: Archive.create(CODEC, "x.kin", describer=None), "path"),  # type: ignore[arg-type]
        (lambda _: Archive.create("x.kin", None), "classic"),  # type: ignore[arg-type]
        (lambda _: Archive.create("x.kin", "clasic"), "classic"),
        (lambda _: Archive.create("x.kin", CODEC, describer=CODEC), ".kine"),  # type: ignore[arg-type]
        (lambda _: Archive.create(None, CODEC), "path"),  # type: ignore[arg-type]
        (lambda _: Archive.open(None), "path"),  # type: ignore[arg-type]
        (lambda _: Archive.open(3), "path"),  # type: ignore[arg-type]
        (lambda _: Archive.open("a.kin", codec="default"), "without a codec"),
        (lambda _: Codec.load(None), "classic"),  # type: ignore[arg-type]
        (lambda _: Describer.load(3), ".kine"),  # type: ignore[arg-type]
        (lambda _: CODEC.encode(PICTURES[0]), r"\[image\]"),
        (lambda _: CODEC.encode(PICTURES[0, ..., 0]), r"\[image\]"),
        (lambda _: CODEC.encode("query.png"), r"\[image\]"),
        (lambda _: CODEC.encode(None), r"\[image\]"),  # type: ignore[arg-type]
        (lambda _: CODEC.encode([PICTURES[0].transpose(2, 0, 1)]), "transpose"),
        (lambda _: DESCRIBER.describe([PICTURES[0] / 255]), "astype"),
        (lambda _: DESCRIBER.describe([PICTURES[0] > 9]), "astype"),
        (lambda _: CODEC.decode(CODEC.encode(PICTURES[:1])[0]), r"\[packet\]"),  # type: ignore[arg-type]
        (lambda _: Describer.load(GOLDEN).describe(PICTURES[0]), r"\[image\]"),
        (lambda archive: archive.read_many(None), "list of ids"),
        (lambda archive: archive.remove(None), "an id is a string"),
        (lambda archive: archive.add(PICTURES, 60), "quality=60"),
        (lambda archive: archive.add(PICTURES, min_psnr="36"), "1 to 100 dB"),
        (lambda archive: archive.add(PICTURES, max_bytes="20M"), "whole number"),
        (lambda archive: archive.add(PICTURES, quality="60"), "1 to 100"),
        (lambda archive: archive.add(PICTURES, threads=0), "whole number"),
        (lambda archive: archive.add(PICTURES, batch=2.5), "whole number"),
        (lambda archive: archive.search("000000", threads="2"), "whole number"),
        (lambda archive: next(archive.images(batch=0)), "whole number"),
        (lambda archive: archive.gc(keep="1"), "whole number"),
        (lambda archive: archive.gc(min_age="1"), "seconds"),
        (lambda _: CODEC.encode(PICTURES, {"quality": 60}), "quality=60"),  # type: ignore[arg-type]
        (lambda _: load_image(PICTURES[0]), "path"),
        (lambda _: load_image("query.png", size="9"), "whole number"),
        (lambda _: save_image(PICTURES[0] / 255, "x.png"), "astype"),
        (lambda _: save_image(PICTURES[0], None), "path"),  # type: ignore[arg-type]
        (lambda _: open_source(PICTURES, size=2.5), "whole number"),  # type: ignore[arg-type]
        (lambda archive: export(archive, "x", "parket"), "parquet"),  # type: ignore[arg-type]
        (lambda archive: export(archive, None, "parquet"), "path"),  # type: ignore[arg-type]
        (lambda archive: export(archive, "x", "parquet", format="gif"), "png"),  # type: ignore[arg-type]
        (lambda archive: unpack(archive, "x", format="gif"), "png"),  # type: ignore[arg-type]
        (lambda archive: unpack(archive, None), "path"),  # type: ignore[arg-type]
        (lambda archive: seal(archive, None), "path"),  # type: ignore[arg-type]
        (lambda archive: copy(archive, None), "path"),  # type: ignore[arg-type]
        (lambda _: copy(None, "x.kin"), "path"),  # type: ignore[arg-type]
        (lambda _: merge(None, "x.kin"), "path"),  # type: ignore[arg-type]
        (lambda _: merge([], "x.kin"), "name one or more"),
        (lambda archive: repair(archive, "x.kin"), "path"),
    ],
)
def test_wrong_arguments_name_the_right_call(
    archive: Archive, act: Callable[[Archive], object], cure: str
) -> None:
    with pytest.raises(KinpackError, match=cure) as caught:
        act(archive)
    assert len(str(caught.value).splitlines()) == 1
    assert len(archive) == len(PICTURES)
    assert not list(Path().glob("x*"))


def test_images_are_encoded_from_whatever_holds_them(folder: Path) -> None:
    file = folder / "query.png"
    expected = CODEC.encode([PICTURES[4]] * 3)
    assert CODEC.encode([file, str(file), PIL.Image.open(file)]) == expected
    assert CODEC.encode(iter([PICTURES[4]] * 3)) == expected
    grey = PICTURES[..., 0]
    assert CODEC.encode(grey) == CODEC.encode([image[..., None] for image in grey])


def test_people_add_what_they_have(tmp_path: Path, folder: Path) -> None:
    picture = tmp_path / "set" / "one.png"
    picture.parent.mkdir()
    picture.write_bytes((folder / "query.png").read_bytes())
    with Archive.create(tmp_path / "a.kin", "classic") as archive:
        archive.add(str(picture.parent), quality=100)
        archive.add([Item("path", "x", lambda: picture)], quality=100)  # type: ignore[arg-type, return-value]
        archive.add((Item(name, None, lambda: PICTURES[4]) for name in "ab"), quality=100)
        archive.add([PIL.Image.open(picture), PICTURES[4]], quality=100)
        assert archive.add([]).added == 0
        assert archive.ids == ["one.png", "path", "a", "b", "000000", "000001"]
        assert all(np.array_equal(image, PICTURES[4]) for _, image in archive.images())
        assert archive.remove("one.png").removed == 1
        assert archive.codec.codec_id == CODEC.codec_id


def test_codecs_and_describers_are_named(tmp_path: Path) -> None:
    (tmp_path / "mine.kinc").write_bytes(CODEC.to_bytes())
    for codec in ("classic", tmp_path / "mine.kinc", str(tmp_path / "mine.kinc")):
        with Archive.create(tmp_path / "a.kin", codec, describer=GOLDEN) as archive:
            archive.add(open_source(PICTURES[:2]))
        with Archive.open(tmp_path / "a.kin", codec="classic") as archive:
            assert archive.search("000001", 1)[0].id == "000001"
            assert archive.describer is not None
            archive.remove(archive.ids)
        for file in sorted((tmp_path / "a.kin").rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        (tmp_path / "a.kin").rmdir()


def test_what_writes_something_else_takes_an_archive_or_its_path(
    folder: Path, tmp_path: Path
) -> None:
    made = []
    with Archive.open(folder / "a.kin") as archive:
        forms: list[Any] = [archive, folder / "a.kin", str(folder / "a.kin")]
        for number, given in enumerate(forms):
            place = tmp_path / str(number)
            place.mkdir()
            copy(given, place / "copy.kin")
            merge([given], place / "merged.kin")
            seal(given, place / "a.kin.zip")
            unseal(place / "a.kin.zip", place / "unsealed.kin")
            assert unpack(given, place / "files") == len(PICTURES)
            assert export(given, place / "folders", "imagefolder") == len(PICTURES)
            assert export(given, place / "set", "parquet") == len(PICTURES)
            for copied in ("copy.kin", "merged.kin", "a.kin.zip", "unsealed.kin"):
                with Archive.open(place / copied) as other:
                    assert other.ids == archive.ids
                    assert np.array_equal(other[3], PICTURES[3])
            made.append({file.relative_to(place).parts[0] for file in place.rglob("*")})
    assert made[0] == made[1] == made[2]
