"""Longer codes that order the nearest anew, and codes learned of an archive's own pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from fakes.fake_codec import FakeSource
from fakes.tiny_describer import GOLDEN, colour_describer, soft_picture
from kinpack.archive.archive import Archive
from kinpack.archive.care.verification import verify
from kinpack.archive.searching.finer import ordered_anew
from kinpack.archive.segments import segment as segment_module
from kinpack.archive.segments import segment_stream
from kinpack.describers.describer import Describer
from kinpack.describers.describing import packed_codes
from kinpack.errors import CodecError
from kinpack.networks.container import DESCRIBER_FILE, Container
from kinpack.search.distances.distance import asymmetric_table
from kinpack.search.distances.poses import Poses
from tests.archive_checks import CODEC, hashes, reopened
from tests.cli_runs import ask, one_error, pictures, run


def coarse_describer() -> Describer:
    """The mean colour in two steps each; its longer code has 256."""
    made = colour_describer().container
    words = {"": [64, 192], "fine_": np.arange(256)}
    books = {
        f"{prefix}codebooks": np.tile(np.array(some, np.float32)[:, None], (3, 1, 1))
        for prefix, some in words.items()
    }
    header = {**made.header, "name": "coarse"}
    return Describer.from_container(
        Container(header, {}, {**made.arrays, **books}, kind=DESCRIBER_FILE)
    )


def plain(red: int, green: int, blue: int) -> NDArray[np.uint8]:
    return np.full((4, 5, 3), (red, green, blue), np.uint8)


def coloured(count: int, seed: int = 0) -> FakeSource:
    colours = np.random.default_rng(seed).integers(0, 256, (count, 3))
    return FakeSource([(f"c/{i:04d}", None, plain(*c)) for i, c in enumerate(colours.tolist())])


def made(path: Path, source: FakeSource, *, fine: bool) -> Path:
    coarse = coarse_describer()
    columns = {"coarse": coarse} | ({"coarse-fine": coarse.finer()} if fine else {})
    with Archive.create(path, CODEC, describer=columns) as archive:
        archive.add(source)
    return path


@pytest.mark.parametrize("whole", [True, False])
def test_the_first_hundred_are_ordered_by_longer_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    monkeypatch.setattr(segment_stream, "ROWS", 50)
    if not whole:
        monkeypatch.setattr(segment_module, "_WHOLE_BYTES", 0)  # a row is read by itself
    source = coloured(170)
    with reopened(made(tmp_path / "a.kin", source, fine=True)) as archive:
        archive.remove(["c/0007"])
        for query in (plain(10, 20, 30), plain(200, 90, 5)):
            asked = query[0, 0].astype(float)
            colours = {name: image[0, 0].astype(float) for name, _, image in source.images}
            del colours["c/0007"]
            near = {
                name: sum(
                    (a - (64 if c < 128 else 192)) ** 2 for a, c in zip(asked, colour, strict=True)
                )
                for name, colour in colours.items()
            }
            first = sorted(near, key=lambda name: (near[name], name))[:100]
            exact = {name: ((asked - colours[name]) ** 2).sum() for name in first}
            wanted = sorted(exact, key=lambda name: exact[name])
            hits = archive.search(query, 12, compare=0)
            assert [hit.id for hit in hits] == wanted[:12]
            assert [hit.distance for hit in hits] == [exact[name] for name in wanted[:12]]
            assert len(archive.search(query, 400, compare=0)) == 169
        of_id = archive.search("c/0003", 5)
        assert (of_id[0].id, of_id[0].distance) == ("c/0003", 0)
        by_vector = archive.search(vector=[10, 20, 30], k=12)
        assert by_vector == archive.search(plain(10, 20, 30), 12, compare=0)


def test_images_without_a_longer_code_keep_their_places(tmp_path: Path) -> None:
    path = made(tmp_path / "a.kin", coloured(9), fine=False)
    with reopened(path) as archive:
        before = archive.search(plain(1, 2, 3), 9, compare=0)
        finer = coarse_describer().finer()
        archive.embed(finer, name="coarse-fine")
        assert {hit.id for hit in archive.search(plain(1, 2, 3), 9, compare=0)} == {
            hit.id for hit in before
        }
    positions, distances = ordered_anew(
        (np.array([4, 8, 2]), np.array([1.0, 2.0, 3.0])),
        [b"\x09\x09\x09", None, b"\x01\x01\x01"],
        finer.quantiser,
        Poses((asymmetric_table(finer.quantiser, np.zeros(3)),)).of_codes,
    )
    assert positions.tolist() == [2, 8, 4]
    assert distances.tolist() == [3, 2, 243]


def test_an_image_comes_before_others_of_its_code(tmp_path: Path) -> None:
    same = FakeSource([(f"c/{i}", None, plain(9, 9, 9)) for i in range(150)])
    for fine in (False, True):
        with reopened(made(tmp_path / f"{fine}.kin", same, fine=fine)) as archive:
            for k in (1, 5, 150):
                hits = archive.search("c/140", k)
                assert [hit.id for hit in hits][:2] == ["c/140", "c/0"][:k]
                assert len({hit.id for hit in hits}) == k


def test_embed_gives_both_codes(tmp_path: Path) -> None:
    path = made(tmp_path / "a.kin", coloured(6), fine=False)
    with reopened(path) as archive:
        archive.embed("look", fine=True)
        assert list(archive.describers) == ["coarse", "look", "look-fine"]
        assert archive.codes_of("look-fine")[0].shape == (6, 32)
        assert archive.describers["look-fine"].name == "look-fine"
        archive.remove_codes("look")
        assert archive.search(plain(1, 2, 3), 1, codes="look-fine", compare=0)
    assert verify(path).ok


def test_a_describer_without_longer_codes_gives_none() -> None:
    with pytest.raises(CodecError, match="no longer codes"):
        colour_describer().finer()
    with pytest.raises(CodecError, match="no longer codes"):
        coarse_describer().finer().finer()


def soft_many(count: int) -> FakeSource:
    """Dark pictures: none is nearer to the coarse describer's second words."""
    return FakeSource([(f"s/{i:04d}", None, soft_picture(i, 8, 9) // 3) for i in range(count)])


def test_a_code_of_its_own_uses_more_bits(tmp_path: Path) -> None:
    path = made(tmp_path / "a.kin", soft_many(260), fine=True)
    before = {name: one for name, one in hashes(path).items() if "segments" in name}
    with reopened(path) as archive:
        archive.remove(["s/0000"])
        assert archive.bits_used("coarse") == 0
        told: list[int] = []
        done = archive.learn_code(progress=told.append)
        assert (done.name, done.images) == ("coarse", 259)
        assert sum(told) == 3 * 259  # to learn, and for either column
        assert archive.bits_used("coarse") > 2
        own = archive.describers["coarse"]
        images = archive.read_many(archive.ids)
        for column in ("coarse", "coarse-fine"):
            codes = [code.tobytes() for code in archive.codes_of(column)[0]]
            assert codes == packed_codes(archive.describers[column], images)
        assert own.quantiser.codebooks.shape == (3, 2, 1)
        assert archive.search(images[5], 1, compare=0)[0].id == archive.ids[5]
    after = hashes(path)
    assert {name: after[name] for name in before} == before
    assert verify(path).ok


def test_books_that_weigh_nothing_stay(tmp_path: Path) -> None:
    look = Describer.load("look")
    with Archive.create(tmp_path / "a.kin", CODEC, describer=look) as archive:
        archive.add(soft_many(256))
        archive.learn_code(name="own")
        own = archive.describers["own"]
    still = look.weights == 0
    assert np.array_equal(own.weights, look.weights)
    assert np.array_equal(own.quantiser.codebooks[still], look.quantiser.codebooks[still])
    assert not np.array_equal(own.quantiser.codebooks, look.quantiser.codebooks)
    pictures = [soft_picture(i, 8, 9) for i in range(5)]
    columns = np.repeat(still, 4)
    assert own.describe(pictures)[:, columns] == pytest.approx(
        look.describe(pictures)[:, columns], abs=1e-5
    )


def test_a_few_pictures_are_too_few_to_learn_of(tmp_path: Path) -> None:
    path = made(tmp_path / "a.kin", coloured(20), fine=False)
    with reopened(path) as archive, pytest.raises(CodecError, match="20 pictures are too few"):
        archive.learn_code()


def test_the_command_packs_and_learns_longer_codes(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 4)
    path = tmp_path / "a.kin"
    packed = run("pack", tmp_path / "photos", "-o", path, "--codec", "classic", "--fine", "--quiet")
    assert "tell few of them apart" not in packed.stderr
    assert list(ask("info", path)["describers"]) == ["look", "look-fine"]
    assert "too few" in one_error(run("learn-code", path, code=1).stderr)
    run("embed", path, "--describer", "classic", "--quiet")
    refused = run(
        "pack", tmp_path / "photos", "-o", tmp_path / "b.kin", "--codec", "classic",
        "--describer", GOLDEN, "--fine", code=1,
    )  # fmt: skip
    assert "no longer codes" in one_error(refused.stderr)
    assert not (tmp_path / "b.kin").exists()


@pytest.mark.slow
def test_pack_warns_of_codes_that_tell_few_pictures_apart(tmp_path: Path) -> None:
    folder = tmp_path / "grey"
    folder.mkdir()
    for i in range(300):
        Pillow.new("L", (8, 8), i % 8).save(folder / f"{i:03d}.png")
    path = tmp_path / "a.kin"
    packed = run("pack", folder, "-o", path, "--codec", "classic", "--describer", GOLDEN)
    assert "of 16 bits on these 300 pictures" in packed.stderr
    assert "kinpack learn-code" in packed.stderr
    told = ask("learn-code", path, "--as", "own")
    assert (told["codes"], told["images"], told["bits"]) == ("own", 300, 16)
