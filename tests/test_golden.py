"""Golden archives and codecs of every format version: read, drawn, searched and continued."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from kinpack.archive.archive import Archive
from kinpack.archive.care.history import history
from kinpack.archive.care.sealing import seal, unseal
from kinpack.archive.care.verification import verify
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind
from kinpack.describers.describing import packed_codes
from kinpack.integrations.unpacking import unpack
from kinpack.networks.networks import Engine
from kinpack.pictures.images import Image, load_image
from kinpack.sources.items import Item

GOLDEN = Path(__file__).parent / "golden" / "format-1"
EXPECTED = {
    one["archive"]: one for one in json.loads((GOLDEN / "expected.json").read_text("utf-8"))
}
ARCHIVES = [*EXPECTED, "classic.kin.zip"]


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = EXPECTED[name.removesuffix(".zip")]
    return found


@cache
def opened(name: str) -> Archive:
    return Archive.open(GOLDEN / name)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def is_as_it_was(image: Image, was: dict[str, Any]) -> bool:
    """Whether an image is drawn as it was; AVIF libraries may round colours by a level."""
    if list(image.shape) != was["shape"]:
        return False
    if sha256(image.tobytes()) == was["pixels"]:
        return True
    if was["kind"] != "AVIF":
        return False
    drawn = np.asarray(PIL.Image.open(GOLDEN / "drawn" / f"{sha256(was['id'].encode())[:16]}.png"))
    return bool(np.abs(drawn.reshape(image.shape).astype(int) - image).max() <= 2)


def test_the_golden_files_hold_what_their_page_says() -> None:
    kinds = {image["kind"] for one in EXPECTED.values() for image in one["images"]}
    assert kinds == {kind.name for kind in Kind}
    channels = {(i["kind"], i["shape"][2]) for one in EXPECTED.values() for i in one["images"]}
    every = {(kind.name, n) for kind in Kind if kind is not Kind.CAUSAL for n in (1, 3, 4)}
    assert channels == every | {("CAUSAL", 1)}
    bodies = [
        json.loads(file.read_bytes()) for file in (GOLDEN / "classic.kin/manifests").iterdir()
    ]
    numbers = {body["number"]: body.get("base", {}).get("number") for body in bodies}
    assert numbers[6] == 5
    assert numbers[5] == 4
    assert numbers[4] is None
    size = sum(file.stat().st_size for file in GOLDEN.parent.rglob("*") if file.is_file())
    assert size < 600_000


@pytest.mark.parametrize("name", ARCHIVES)
def test_images_are_as_they_were(name: str) -> None:
    archive = opened(name)
    found = list(archive.images())
    assert len(found) == len(expected(name)["images"])
    for (entry, image), was in zip(found, expected(name)["images"], strict=True):
        assert (entry.id, entry.label, entry.kind.name) == (was["id"], was["label"], was["kind"])
        assert entry.quality == was["quality"]
        packet = archive.packet(entry.id)
        assert sha256(packet.payload) == was["payload"]
        assert is_as_it_was(image, was), was["id"]


@pytest.mark.parametrize("name", ARCHIVES)
def test_it_verifies(name: str) -> None:
    report = verify(GOLDEN / name, deep=True)
    assert report.problems == []
    assert all("is forgotten" in note for note in report.notes)  # a sealed archive has one revision
    assert len(report.notes) == int(name.endswith(".zip"))
    assert report.images == len(expected(name)["images"])


@pytest.mark.parametrize("name", EXPECTED)
def test_earlier_states(name: str) -> None:
    revisions = {str(revision.number): revision for revision in history(opened(name).store)}
    assert set(revisions) == set(expected(name)["revisions"])
    for number, ids in expected(name)["revisions"].items():
        with Archive.open(GOLDEN / name, at=int(number)) as archive:
            assert list(archive.ids) == ids


@pytest.mark.parametrize("name", ARCHIVES)
def test_searches(name: str) -> None:
    archive = opened(name)
    for was in expected(name)["searches"]:
        hits = archive.search(was["id"], k=5, codes=was["codes"])
        assert [[hit.id, hit.distance] for hit in hits] == was["hits"]
    for column in archive.describers:
        codes = [image["codes"][column] for image in expected(name)["images"]]
        assert [code.tobytes().hex() for code in archive.codes_of(column)[0]] == codes


@pytest.mark.parametrize("name", ["classic.kin", "wide.kin"])
def test_exact_images_have_the_codes_that_they_had(name: str) -> None:
    """Of pictures that are lossless, the linear descriptor is the same on every machine."""
    exact = [was for was in expected(name)["images"] if was["kind"] == "WEBP_LOSSLESS"]
    images = [opened(name).read(was["id"]) for was in exact]
    column = name.removesuffix(".kin")
    codes = packed_codes(opened(name).describers[column], images)
    assert [code.hex() for code in codes] == [was["codes"][column] for was in exact]


@pytest.mark.parametrize("engine", ["onnxruntime", "numpy"])
def test_learned_payloads_in_both_engines(engine: Engine) -> None:
    archive = opened("learned.kin")
    codec = Codec.load(next((GOLDEN / "learned.kin/codecs").iterdir()), engine=engine)
    learned = [w for w in expected("learned.kin")["images"] if w["kind"] == "LEARNED"]
    drawn = codec.decode([archive.packet(was["id"]) for was in learned], threads=1)
    assert [sha256(image.tobytes()) for image in drawn] == [was["pixels"] for was in learned]


@pytest.mark.parametrize("name", ARCHIVES)
def test_unpacking(name: str, tmp_path: Path) -> None:
    images = expected(name)["images"]
    assert unpack(opened(name), tmp_path / "pictures") == len(images)
    rows = (tmp_path / "pictures" / "labels.csv").read_text("utf-8").splitlines()
    assert len(rows) == len(images) + 1
    for was in images:
        pixels = load_image(tmp_path / "pictures" / f"{was['id']}.png")
        assert is_as_it_was(pixels, was)


def test_sealing_gives_the_same_bytes(tmp_path: Path) -> None:
    seal(opened("classic.kin.zip"), tmp_path / "again.kin.zip")
    sealed = (GOLDEN / "classic.kin.zip").read_bytes()
    assert (tmp_path / "again.kin.zip").read_bytes() == sealed
    seal(opened("classic.kin"), tmp_path / "new.kin.zip")  # deleted images are left out
    assert list(Archive.open(tmp_path / "new.kin.zip").ids) == list(opened("classic.kin").ids)
    unseal(opened("classic.kin.zip"), tmp_path / "folder.kin")
    seal_again = Archive.open(tmp_path / "folder.kin")
    assert list(seal_again.ids) == expected("classic.kin")["revisions"]["6"]


class OnePicture:
    """A source of one image."""

    name = "one"

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Any:
        yield Item("new", None, lambda: np.full((9, 9, 3), 99, np.uint8))


@pytest.mark.parametrize("name", EXPECTED)
def test_it_can_be_continued(name: str, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / name, tmp_path / name)
    with Archive.open(tmp_path / name) as archive:
        archive.add(OnePicture(), quality=100)
        first = archive.ids[0]
        archive.remove([first])
        archive.compact()
    with Archive.open(tmp_path / name) as archive:
        assert archive.verify(deep=True).ok
        assert list(archive.ids) == [was["id"] for was in expected(name)["images"][1:]] + ["new"]
        for (_, image), was in zip(archive.images(), expected(name)["images"][1:], strict=False):
            assert is_as_it_was(image, was)


def test_codec_files_say_what_they_said() -> None:
    headers = {}
    for name in EXPECTED:
        (file,) = (GOLDEN / name / "codecs").iterdir()
        codec = Codec.load(file)
        assert codec.codec_id == file.stem
        headers[name] = codec.header["sort"]
    assert headers == {
        "classic.kin": "classic",
        "wide.kin": "classic",
        "learned.kin": "learned",
        "causal.kin": "learned",
    }
