"""Archives with a describer: its codes follow their images wherever those are copied."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.fake_codec import FakeCodec, FakeSource, pictures
from fakes.manifest_files import sealed
from fakes.tiny_describer import soft_picture, tiny_describer
from kinpack import limits
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import copy, merge
from kinpack.archive.care.recoding import Recoder
from kinpack.archive.care.repairing import repair
from kinpack.archive.care.sealing import seal, unseal
from kinpack.archive.care.verification import verify
from kinpack.archive.segments import segment_stream as stream_module
from kinpack.archive.segments.image_entry import StoredImage
from kinpack.codec.packets.packet import Packet
from kinpack.describers.describer import Describer
from kinpack.describers.describing import packed_codes, product_codes
from kinpack.errors import ArchiveError, ImageError, KinpackError
from kinpack.networks.container import DESCRIBER_FILE, read_container
from kinpack.pictures.images import Image
from kinpack.search.distances.distance import SearchError
from tests.archive_checks import CODEC, content, expected, make, renewed, reopened
from tests.describer_checks import by_id, check, make_embedded, soft


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of four images, so that few images make several."""
    monkeypatch.setattr(stream_module, "ROWS", 4)


def test_codes_are_those_of_the_pictures_that_were_added(tmp_path: Path) -> None:
    path = make_embedded(tmp_path / "a.kin")
    check(path, by_id(soft(10)))
    assert sorted(file.parent.name for file in path.rglob("*.*")) == [
        "codecs", *["codes"] * 3, "describers", "manifests", *["segments"] * 3
    ]  # fmt: skip
    assert sum(file.stat().st_size for file in path.glob("codes/*")) == 10 * 2
    with reopened(path) as archive:
        archive.add(soft(3, first=10))
        archive.remove(["set/00001", "set/00011"])
        archive.add(renewed(3, 14), on_duplicate="replace")
        wanted = {**by_id(soft(13)), **by_id(renewed(3, 14))}
        del wanted["set/00001"], wanted["set/00011"]
    check(path, wanted)
    with reopened(path) as archive:
        archive.compact()
        check(path, wanted)
        archive.gc(min_age=0)
    check(path, wanted)
    named = {f"{file.stem}.tiny" for file in path.glob("segments/*")}
    assert {file.stem for file in path.glob("codes/*")} == named
    assert len(list(path.glob("manifests/*"))) == 1


def test_copies_carry_the_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_embedded(tmp_path / "a.kin")
    other = make_embedded(tmp_path / "b.kin", soft(6, first=8))
    for small in (True, False):  # copied image by image, and as whole files
        for module in ("copying", "compaction"):
            monkeypatch.setattr(
                f"kinpack.archive.care.{module}.is_small", lambda _, small=small: small
            )
        with reopened(path) as archive, reopened(other) as more:
            copy(archive, tmp_path / f"copy{small}.kin")
            merge([archive, more], tmp_path / f"merged{small}.kin", on_duplicate="skip")
            merge([archive, archive], tmp_path / f"same{small}.kin", on_duplicate="replace")
        check(tmp_path / f"copy{small}.kin", by_id(soft(10)))
        check(tmp_path / f"merged{small}.kin", by_id(soft(14)))
        check(tmp_path / f"same{small}.kin", by_id(soft(10)))
    with reopened(path) as archive:
        archive.remove(["set/00002"])
        seal(archive, tmp_path / "a.kin.zip")
    wanted = by_id(soft(10))
    del wanted["set/00002"]
    check(tmp_path / "a.kin.zip", wanted)
    with reopened(tmp_path / "a.kin.zip") as archive:
        unseal(archive, tmp_path / "again.kin")
    check(tmp_path / "again.kin", wanted)


def test_archives_of_other_describers_are_not_merged(tmp_path: Path) -> None:
    found = read_container(tiny_describer().to_bytes(), where="x", kind=DESCRIBER_FILE)
    other = Describer.from_container(replace(found, header={**found.header, "name": "other"}))
    make_embedded(tmp_path / "a.kin", soft(2))
    make(tmp_path / "b.kin", soft(2, first=5))
    with Archive.create(tmp_path / "c.kin", CODEC, describer=other) as archive:
        archive.add(soft(2, first=8))
    for pair in (("a", "b"), ("b", "a"), ("a", "c")):
        opened = [reopened(tmp_path / f"{name}.kin") for name in pair]
        with pytest.raises(ArchiveError, match="same describers"):
            merge(opened, tmp_path / "m.kin")
        assert not (tmp_path / "m.kin").exists()


def brute_force(archive: Archive, point: Any, k: int) -> list[tuple[str, float]]:
    """The nearest by the distance to the vectors that the codes stand for, one by one."""
    quantiser = tiny_describer().quantiser
    indices = quantiser.unpack(archive.codes_of("tiny")[0])
    found = []
    for place, (name, z_q) in enumerate(zip(archive.ids, quantiser.decode(indices), strict=True)):
        distance = sum((float(a) - float(b)) ** 2 for a, b in zip(point, z_q, strict=True))
        found.append((round(distance, 6), place, name))
    return [(name, distance) for distance, _, name in sorted(found)[:k]]


@pytest.mark.parametrize("engine", ["numpy", "auto"])
def test_search_is_that_of_the_decoded_vectors(tmp_path: Path, engine: Any) -> None:
    path = make_embedded(tmp_path / "a.kin", soft(30))
    describer = tiny_describer()
    with reopened(path) as archive:
        archive.remove(["set/00004"])
        for seed in range(40, 46):
            query = soft_picture(seed)
            z = describer.describe([query])
            points = {
                "asymmetric": z[0],
                "symmetric": describer.quantiser.decode(product_codes(describer, [query]))[0],
            }
            for mode, point in points.items():
                asked: Any = {"mode": mode, "compare": 0, "engine": engine}
                hits = archive.search(query, 7, **asked)
                wanted = brute_force(archive, point, 7)
                assert [hit.id for hit in hits] == [name for name, _ in wanted]
                assert np.allclose([h.distance for h in hits], [d for _, d in wanted], atol=1e-5)
                assert hits == archive.search(query, 7, codes="tiny", **asked)
        inside = archive.search("set/00007", 5)
        assert inside[0].distance == 0
        codes, positions = archive.codes_of("tiny")
        assert positions.tolist() == list(range(29))
        code = codes[archive.position("set/00007")]
        assert codes[inside[0].position].tobytes() == code.tobytes()


def test_an_archive_without_codes_says_so(tmp_path: Path) -> None:
    embedded, plain = make_embedded(tmp_path / "a.kin"), make(tmp_path / "b.kin", soft(10))
    with reopened(embedded) as with_codes, reopened(plain) as without:
        assert without.describer is None
        assert without.describers == {}
        with pytest.raises(SearchError, match="kinpack embed"):
            without.codes_of("tiny")
        with pytest.raises(SearchError, match="no codes to search"):
            without.search(soft_picture(0))
        with pytest.raises(SearchError, match="no codes 'tiny'"):
            without.search(soft_picture(0), codes="tiny")
        with pytest.raises(SearchError, match="others tiny"):
            with_codes.search(soft_picture(0), codes="best")
        facts = with_codes.info()
        assert facts["describers"] == {
            "tiny": {
                "describer_id": tiny_describer().describer_id,
                "describer_bytes": tiny_describer().n_bytes,
                "code_bytes": 2,
                "images": 10,
            }
        }
        assert without.info()["describers"] == {}
        more = facts["bytes_on_disk"] - without.info()["bytes_on_disk"]
        container = facts["container_bytes_per_image"] - without.info()["container_bytes_per_image"]
        assert more - 10 * container == pytest.approx(10 * 2)


def test_without_a_describer_nothing_is_written_of_one(tmp_path: Path) -> None:
    path = make(tmp_path / "a.kin")
    values = json.loads((path / "manifests" / "0000000001.json").read_bytes())
    assert set(values) == {
        "format", "archive", "number", "parent", "created", "kinpack", "change", "checksum",
        "codec", "segments", "metadata",
    }  # fmt: skip
    assert set(values["segments"][0]) == {
        "name", "bytes", "rows", "payload_bytes", "sha256", "index_offset", "index_crc32", "deleted"
    }  # fmt: skip
    assert {file.name for file in path.iterdir()} == {"codecs", "segments", "manifests"}


def test_an_empty_archive_keeps_its_describer(tmp_path: Path) -> None:
    with Archive.create(tmp_path / "a.kin", CODEC, describer=tiny_describer()):
        pass
    with reopened(tmp_path / "a.kin") as archive:
        assert archive.search(soft_picture(0)) == []
        archive.add(soft(3))
    check(tmp_path / "a.kin", by_id(soft(3)))


def test_what_is_not_acknowledged_leaves_no_codes(tmp_path: Path) -> None:
    path = make_embedded(tmp_path / "a.kin")
    before = {file.name for file in path.rglob("*.*")}
    with reopened(path) as archive:
        with pytest.raises(ArchiveError, match="is there already"):
            archive.add(FakeSource(soft(6, first=10).images + soft(1).images))
        with pytest.raises(ImageError):
            archive.add(FakeSource([*soft(6, first=10).images, ("broken", None, None)]))
    assert {file.name for file in path.rglob("*.*")} == before
    (path / "codes" / ("0" * 32 + ".tiny.bin")).write_bytes(b"of a dead writer")
    assert "no part of the archive" in verify(path).notes[0]
    with reopened(path) as archive:
        archive.add(soft(1, first=10))
    check(path, by_id(soft(11)))


@pytest.mark.slow
def test_every_changed_byte_of_codes_and_describer_is_found(tmp_path: Path) -> None:
    path = make_embedded(tmp_path / "a.kin", soft(5))
    (kine,) = path.glob("describers/*")
    for file in (*path.glob("codes/*"), kine):
        data = file.read_bytes()
        places = range(0, len(data), 1 if file is not kine else 499)
        damaged = [data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :] for place in places]
        for content_ in (*damaged, data[:-1], b"", data + b"x", None):
            if content_ is None:
                file.unlink()
            else:
                file.write_bytes(content_)
            problems = verify(path).problems
            assert any(file.name in problem for problem in problems)
            with reopened(path) as archive, pytest.raises(ArchiveError, match=file.name):
                archive.search(soft_picture(0), 2)
            with reopened(path) as archive:  # nothing else depends on them
                assert archive.read("set/00003").shape == (20, 24, 3)
        file.write_bytes(data)
    check(path, by_id(soft(5)))


def test_repair_makes_lost_codes_anew(tmp_path: Path) -> None:
    path = make_embedded(tmp_path / "a.kin")
    damaged, missing, _ = sorted(path.glob("codes/*"))
    damaged.write_bytes(bytes(len(damaged.read_bytes())))
    missing.unlink()
    report = repair(path, tmp_path / "new.kin", codec=CODEC)
    assert report.images == 10
    assert report.lost == []
    assert "were lost, and are made anew" in report.notes[-1]
    check(tmp_path / "new.kin", by_id(soft(10)))  # this codec loses nothing
    for file in path.glob("manifests/*"):  # no manifest tells the codes of a segment
        file.unlink()
    (path / "manifests" / "0000000001.json").write_text("{}")
    assert repair(path, tmp_path / "newer.kin", codec=CODEC).images == 10
    check(tmp_path / "newer.kin", by_id(soft(10)))


def test_repair_without_the_describer(tmp_path: Path) -> None:
    path = make_embedded(tmp_path / "a.kin")
    (file,) = path.glob("describers/*")
    file.write_bytes(b"damaged")
    report = repair(path, tmp_path / "none.kin", codec=CODEC)
    assert "is lost, and its codes with it" in report.notes[-1]
    assert content(tmp_path / "none.kin") == expected(soft(10))
    assert not (tmp_path / "none.kin" / "codes").exists()
    report = repair(path, tmp_path / "given.kin", codec=CODEC, describer=tiny_describer())
    assert report.lost == []
    check(tmp_path / "given.kin", by_id(soft(10)))


def rewritten(path: Path, change: Any) -> None:
    """Change the first manifest, its checksum and all."""
    file = path / "manifests" / "0000000001.json"
    values = json.loads(file.read_bytes())
    del values["checksum"]
    change(values)
    file.write_bytes(sealed(values))


def set_codes(key: str, value: Any) -> Any:
    return lambda values: values["segments"][0]["codes"][0].update({key: value})


def set_describer(key: str, value: Any) -> Any:
    return lambda values: values["describers"][0].update({key: value})


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("describers"),
        lambda values: values.update(describers=None),
        lambda values: values.update(describers=[]),
        lambda values: values["describers"].append(values["describers"][0]),
        lambda values: values["segments"][0]["codes"].append(values["segments"][0]["codes"][0]),
        set_describer("sha256", "../" + "a" * 61),
        set_describer("bytes", 0),
        set_describer("name", "../x"),
        set_describer("name", "codec"),
        set_describer("more", 1),
        set_codes("column", "other"),
        set_codes("column", "A"),
        lambda values: values["segments"][0].update(codes=None),
        lambda values: values["segments"][0].update(codes=[]),
        set_codes("name", "../x"),
        set_codes("bytes", 9),
        set_codes("bytes", 0),
        set_codes("bytes", True),
        set_codes("sha256", "x"),
        set_codes("more", 1),
    ],
)
def test_manifests_that_make_no_sense_are_refused(tmp_path: Path, change: Any) -> None:
    path = make_embedded(tmp_path / "a.kin", soft(4))
    rewritten(path, change)
    with pytest.raises(ArchiveError, match="damaged manifest") as caught:
        reopened(path)
    assert "\n" not in str(caught.value)


def test_codes_of_another_size_are_refused(tmp_path: Path) -> None:
    path = make_embedded(tmp_path / "a.kin", soft(4))
    (file,) = path.glob("codes/*")
    import hashlib

    for data in (bytes(4), bytes(1 << 12)):
        file.write_bytes(data)
        wanted = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        rewritten(
            path, lambda values, wanted=wanted: values["segments"][0]["codes"][0].update(wanted)
        )
        with reopened(path) as archive, pytest.raises(ArchiveError, match="bytes each, not 2"):
            archive.search(soft_picture(0), 2)
        assert any("bytes each, not 2" in problem for problem in verify(path).problems)
        assert repair(path, tmp_path / f"{len(data)}.kin", codec=CODEC).lost == []
        check(tmp_path / f"{len(data)}.kin", by_id(soft(4)))


def test_codes_beside_many_small_commits(tmp_path: Path) -> None:
    path = make_embedded(tmp_path / "a.kin", soft(1))
    with reopened(path) as archive:
        for first in range(1, 9):
            archive.add(soft(1, first=first))
        assert archive.manifest.base is not None
    check(path, by_id(soft(9)))
    names: Sequence[str] = [f"set/{i:05d}" for i in range(9)]
    for number in (1, 5, 9):
        with reopened(path, at=number) as archive:
            assert archive.ids == names[:number]
            assert len(archive.codes_of("tiny")[0]) == number


def test_old_states_and_other_errors(tmp_path: Path) -> None:
    path = make_embedded(tmp_path / "a.kin", pictures(3))
    with reopened(path) as archive:
        with pytest.raises(KinpackError, match="holds no image"):
            archive.search("nobody")
        with pytest.raises(SearchError, match="no mode"):
            archive.search(soft_picture(0), mode="best")


def test_lost_codes_of_large_pictures_are_made_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PIXEL_BYTES", 3 * soft_picture(0).nbytes)
    decoded: list[int] = []

    class Counting(FakeCodec):
        def decode(self, packets: Sequence[Packet], *, threads: int | None = None) -> list[Image]:
            decoded.append(len(packets))
            return super().decode(packets, threads=threads)

    codec, describer = Counting(), tiny_describer()
    images = [soft_picture(seed) for seed in range(7)]
    packets = codec.encode(images)
    rows = (StoredImage(str(i), {}, packet, {}) for i, packet in enumerate(packets))
    recoder = Recoder(lambda: codec, {"tiny": describer})
    found = [row.codes["tiny"] for row in recoder.complete(rows)]
    assert found == packed_codes(describer, codec.decode(packets))
    assert decoded == [3, 3, 1, 7]
    assert recoder.made == 7
