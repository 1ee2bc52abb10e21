"""Laws of duplicates: groups are what a plain comparison of all pairs gives, and nothing goes."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinpack import Archive, seal
from kinpack.archive.duplicates.equal_packets import equal_packets, stated
from kinpack.archive.duplicates.report import DuplicateReport
from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image, load_image
from kinpack.search.distances.distance import SearchError
from kinpack.search.duplicates.cells import Cells
from kinpack.search.duplicates.changes import copies
from kinpack.search.duplicates.grouping import classes, stars
from kinpack.search.duplicates.likeness import RECOLOURED, is_same, likenesses
from kinpack.search.duplicates.thresholds import reach, similarities_wanted
from kinpack.search.duplicates.thumbnail import Thumbnail
from kinpack.sources.items import Item
from tests.cli_runs import ask, one_error, run

ORIGINALS = 12


def scene(seed: int) -> Image:
    """A picture unlike those of other seeds: shapes of many sizes on a soft ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:72, :96] / 96
    picture = np.empty((72, 96, 3))
    for c in range(3):
        a, b, phase = rng.uniform(-12, 12, 3)
        picture[:, :, c] = 120 + 60 * np.sin(a * x + b * y + phase)
    for _ in range(14):
        top, left = rng.uniform(0, 0.6), rng.uniform(0, 0.8)
        tall, wide = rng.uniform(0.05, 0.3, 2)
        inside = (y > top) & (y < top + tall) & (x > left) & (x < left + wide)
        picture[inside] = rng.uniform(0, 255, 3)
    return picture.clip(0, 255).astype(np.uint8)


def _itself(image: Image) -> Image:
    return image


def item(name: str, image: Image) -> Item:
    return Item(name, None, partial(_itself, image))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Strangers, and of some of them copies, whose ids begin alike."""
    path = tmp_path_factory.mktemp("duplicates") / "a.kin"
    images = {f"{seed:02}": scene(seed) for seed in range(ORIGINALS)}
    changed = {name: copies(image) for name, image in images.items()}
    more = [
        item("00-exact", images["00"]),
        item("01-mirrored", changed["01"]["mirrored"]),
        item("02-resized", changed["02"]["resized"]),
        item("03-darker", changed["03"]["darker"]),
        item("03-cropped", changed["03"]["cropped"]),
        item("04-turned", changed["04"]["turned"]),
        item("04-exact", images["04"]),
    ]
    with Archive.create(path, "classic") as archive:
        archive.add([item(name, image) for name, image in images.items()], effort="fast")
        archive.add(more, effort="fast")
    return path


@pytest.fixture(scope="module")
def report(packed: Path) -> DuplicateReport:
    with Archive.open(packed) as archive:
        before = archive.manifest.number, archive.ids
        found = archive.duplicates(keep="first")
        archive.refresh()
        assert (archive.manifest.number, archive.ids) == before, "nothing is removed"
    return found


def test_copies_are_found_and_told(report: DuplicateReport) -> None:
    told = {one.id: (group.kept, one) for group in report.groups for one in group.others}
    assert set(told) == {
        *("00-exact", "01-mirrored", "02-resized", "03-darker", "03-cropped", "04-turned"),
        "04-exact",
    }
    assert all(kept == name[:2] for name, (kept, _) in told.items()), "no stranger is in a group"
    assert {name for name, (_, one) in told.items() if one.band == "exact"} == {
        "00-exact",
        "04-exact",
    }
    for name, change in (
        ("01-mirrored", "mirrored"),
        ("02-resized", "resized"),
        ("03-darker", "toned"),
        ("03-cropped", "cropped"),
        ("04-turned", "turned"),
    ):
        assert change in told[name][1].changes, name
    assert sorted(report.others("alike")) == sorted(told)
    assert report.others("exact") == ["00-exact", "04-exact"]
    assert report.turned
    assert report.thresholds is not None
    assert report.thresholds.strangers_same == 6, "all pairs but those of equal bytes: the copies"


def plain_pairs(archive: Archive, report: DuplicateReport) -> dict[tuple[str, str], str]:
    """The band of each pair of images whose codes are near: every pair is looked at by itself."""
    assert report.thresholds is not None
    describer = archive.describers["look"]
    packed, _ = archive.codes_of("look")
    codes = describer.searched.decode(describer.quantiser.unpack(packed))
    ids, images = archive.ids, list(archive)
    poses = [describer.weighted(describer.describe(describer.poses(image))) for image in images]
    bands = {}
    for i, one in enumerate(images):
        for j in range(i + 1, len(images)):
            views = [np.square(poses[a] - codes[b]).sum(axis=1) for a, b in ((i, j), (j, i))]
            if np.min(views) > report.thresholds.within:
                continue
            (like,) = likenesses([(Thumbnail.of(one), Thumbnail.of(images[j]))])
            if one.shape == images[j].shape and (one == images[j]).all():
                bands[ids[i], ids[j]] = "exact"
            elif is_same(like, report.thresholds.same):
                bands[ids[i], ids[j]] = "same"
            elif like.similarity >= report.thresholds.alike:
                bands[ids[i], ids[j]] = "alike"
    return bands


def test_groups_are_those_of_all_pairs(packed: Path, report: DuplicateReport) -> None:
    with Archive.open(packed) as archive:
        bands = plain_pairs(archive, report)
        ids = archive.ids
    taken: set[str] = set()
    wanted = {}
    for at, kept in enumerate(ids):  # keep="first"
        if kept in taken:
            continue
        others = {
            other: bands[kept, other]
            for other in ids[at + 1 :]
            if other not in taken and bands.get((kept, other)) in ("exact", "same")
        }
        if others:
            wanted[kept] = others
            taken.update(others)
    found = {
        group.kept: {one.id: one.band for one in group.others}
        for group in report.groups
        if group.band != "alike"
    }
    assert found == wanted


def test_quick_finds_all_but_turned_ones(packed: Path) -> None:
    with Archive.open(packed) as archive:
        found = archive.duplicates(keep="first", quick=True)
    assert not found.turned
    assert {"00-exact", "04-exact", "02-resized", "03-darker"} <= set(found.others())
    assert all(one.id[:2] == group.kept for group in found.groups for one in group.others)


def test_equal_bytes_are_always_in_one_group(tmp_path: Path) -> None:
    images = [scene(seed) for seed in (0, 1, 0, 2, 0, 1)]
    with Archive.create(tmp_path / "a.kin", "classic") as archive:
        archive.add([item(f"{n}", image) for n, image in enumerate(images)], effort="fast")
        archive.remove(["2"])
        archive.add([item("6", images[3])], effort="fast")
        assert equal_packets(archive, stated(archive)) == [
            [0, 3],
            [1, 4],
            [2, 5],
        ]  # positions close up
        groups = [{g.kept, *(o.id for o in g.others)} for g in archive.duplicates().groups]
        for pair in ({"0", "4"}, {"1", "5"}, {"3", "6"}):
            assert any(pair <= group for group in groups)


def test_sealed_archives_are_looked_through(packed: Path, tmp_path: Path) -> None:
    with Archive.open(packed) as archive:
        seal(archive, tmp_path / "a.kin.zip")
    with Archive.open(tmp_path / "a.kin.zip") as sealed:
        assert {"00-exact", "02-resized"} <= set(sealed.duplicates(quick=True).others())


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images(tmp_path: Path, count: int) -> None:
    with Archive.create(tmp_path / "a.kin", "classic") as archive:
        archive.add([item(f"{n}", scene(5)) for n in range(count)], effort="fast")
        found = archive.duplicates()
    assert found.images == count
    assert len(found.groups) == int(count == 2)


def test_without_codes_it_says_so_in_one_line(tmp_path: Path) -> None:
    with Archive.create(tmp_path / "a.kin", "classic", describer=None) as archive:
        archive.add([item("a", scene(0))], effort="fast")
        with pytest.raises(SearchError, match="kinpack embed") as caught:
            archive.duplicates()
        assert "\n" not in str(caught.value)
        with pytest.raises(SearchError, match="largest"):
            archive.duplicates(keep="any")  # type: ignore[arg-type]
    one_error(run("dedup", tmp_path / "a.kin", code=1).stderr)


def test_interrupted_it_leaves_the_archive_as_it_was(packed: Path) -> None:
    def stop(share: float, _: str) -> None:
        if share > 0.1:
            raise KeyboardInterrupt

    before = {path: path.stat().st_mtime_ns for path in packed.rglob("*")}
    with Archive.open(packed) as archive, pytest.raises(KeyboardInterrupt):
        archive.duplicates(told=stop)
    assert {path: path.stat().st_mtime_ns for path in packed.rglob("*")} == before


def test_the_command_writes_what_rm_takes(packed: Path, tmp_path: Path) -> None:
    from kinpack import copy

    copy(packed, tmp_path / "a.kin")
    others, table, sheet = (tmp_path / name for name in ("others.txt", "g.csv", "sheet.png"))
    options = ("--quick", "--keep", "first", "--others", others, "-o", table, "--sheet", sheet)
    told = ask("dedup", tmp_path / "a.kin", *options)
    ids = others.read_text().splitlines()
    assert ids == [one["id"] for g in told["groups"] for one in g["others"] if g["band"] != "alike"]
    rows = list(csv.DictReader(table.open()))
    assert [row["id"] for row in rows if row["kept"] == "yes"] == [
        g["kept"] for g in told["groups"]
    ]
    assert load_image(sheet).shape[2] == 3
    again = run("dedup", tmp_path / "a.kin", "--others", others, code=1)
    assert "--force" in one_error(again.stderr)
    run("rm", tmp_path / "a.kin", "--from", others)
    with Archive.open(tmp_path / "a.kin") as archive:
        assert not set(ids) & set(archive.ids)
        assert {g["kept"] for g in told["groups"]} <= set(archive.ids)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"00\nnobody\n", "line 2"),
        (b"00\n\n01\n", "line 2"),
        (b"00\n\xff\n", "line 2"),
        (b"00 \n", "line 1"),
        (None, "name a file"),
    ],
)
def test_a_wrong_list_deletes_nothing(
    packed: Path, tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "list.txt"
    if content is not None:
        file.write_bytes(content)
    with Archive.open(packed) as archive:
        before = archive.ids
    assert said in one_error(run("rm", packed, "--from", file, code=1).stderr)
    with Archive.open(packed) as archive:
        assert archive.ids == before


def test_an_id_with_a_line_break_is_in_no_list() -> None:
    from kinpack.archive.duplicates.writing import list_of_ids

    assert list_of_ids(["b", "ä/c"]) == "b\nä/c\n".encode()
    for name in ("a\nb", "a\udcff"):
        with pytest.raises(KinpackError):
            list_of_ids([name])


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([1, 3, 8]))
@settings(max_examples=40, deadline=None)
def test_near_codes_are_those_of_all_pairs(n: int, seed: int, most: int, cells: int) -> None:
    rng = np.random.default_rng(seed)
    quantiser = ProductQuantiser(rng.normal(size=(4, 3, 2)).astype(np.float32))
    codes = rng.integers(0, 3, (n, 4)).astype(np.uint8)
    made = Cells(quantiser.pack(codes), quantiser, cells=cells, seed=seed % 97)
    vectors = quantiser.decode(codes)
    within = float(rng.uniform(0, 6))
    found = made.near(made.vectors(slice(None)), within, most=most, probes=cells)
    wanted: list[tuple[int, int]] = []
    for query in range(n):
        far = [
            (sum(float(x) ** 2 for x in vectors[query].astype(np.float64) - vectors[row]), row)
            for row in range(n)
        ]
        wanted += [(query, row) for distance, row in sorted(far) if distance <= within][:most]
    pairs = list(zip(found.queries.tolist(), found.rows.tolist(), strict=True))
    assert sorted(pairs) == sorted(wanted)


def test_fewer_probes_bring_part_of_it_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    quantiser = ProductQuantiser(rng.normal(size=(8, 16, 2)).astype(np.float32))
    codes = rng.integers(0, 16, (600, 8)).astype(np.uint8)
    made = Cells(quantiser.pack(codes), quantiser, cells=20)
    assert 1 < made.cells <= 20
    vectors = made.vectors(slice(None))
    few, whole = (made.near(vectors, 6.0, most=600, probes=p) for p in (4, 20))
    assert {*zip(few.queries, few.rows, strict=True)} <= {
        *zip(whole.queries, whole.rows, strict=True)
    }
    assert 0 < len(few.rows) < len(whole.rows)


GRAPHS = st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda p: p[0] < p[1]))


@given(GRAPHS)
def test_groups_do_not_chain(edges: set[tuple[int, int]]) -> None:
    near: dict[int, list[int]] = {}
    for a, b in sorted(edges):
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    groups = stars(range(9), near)
    members = [one for kept, others in groups for one in (kept, *others)]
    assert len(members) == len(set(members))
    assert all((kept, other) in edges for kept, others in groups for other in others)
    for a, b in edges:  # a pair that is apart has one in another group
        assert any({a, b} <= {k, *o} for k, o in groups) or a in members or b in members


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), max_size=8))
def test_classes_are_connected_components(pairs: list[list[int]]) -> None:
    linked = np.eye(10, dtype=bool)
    for some in pairs:
        linked[np.ix_(some, some)] = True
    for _ in range(10):
        linked = linked @ linked
    wanted = {tuple(np.flatnonzero(row).tolist()) for row in linked if row.sum() > 1}
    assert {tuple(some) for some in classes(pairs)} == wanted


def test_more_images_ask_for_more() -> None:
    strangers: NDArray[np.float32] = np.tanh(
        np.random.default_rng(0).exponential(0.08, 2000)
    ).astype(np.float32)
    found = [similarities_wanted(strangers, images) for images in (10, 1000, 10**6)]
    assert found == sorted(found)
    assert all(0.5 <= alike <= same <= 1 for same, alike in found)
    far, kin = strangers + 1, strangers[:100]
    reached = [reach(far, kin + 1, images, 1) for images in (10, 1000, 10**6)]
    assert reached == sorted(reached, reverse=True)
    assert reach(far, kin * 0, 10, 1) == 0


def test_another_colour_is_no_tone() -> None:
    """A figure in another colour is alike; the whole darker, or in grey, is the same picture."""
    ground = np.full((64, 64, 3), 255, np.uint8)
    y, x = np.mgrid[:64, :64]
    for top, left, colour in ((8, 8, (40, 90, 200)), (34, 30, (30, 140, 60))):
        ground[top : top + 20, left : left + 24] = colour
    yellow, brown = ground.copy(), ground.copy()
    face = np.hypot(y - 24, x - 44) < 14
    yellow[face], brown[face] = (255, 200, 61), (155, 100, 61)
    darker = (yellow * 0.8).astype(np.uint8)
    pairs = [(Thumbnail.of(yellow), Thumbnail.of(other)) for other in (brown, darker)]
    other, toned = likenesses(pairs)
    assert other.recoloured >= RECOLOURED > toned.recoloured
    assert "toned" in toned.changes


def test_flat_pictures_of_other_colours_are_not_the_same() -> None:
    flat = [np.full((32, 40, 3), value, np.uint8) for value in (0, 2, 255)]
    black, other, white = (Thumbnail.of(image) for image in flat)
    near, far = likenesses([(black, other), (black, white)])
    assert is_same(near, 0.65)
    assert not is_same(far, 0.65)
