"""Overviews of an archive: clusters, maps and Gram matrices, held to plain loops over its codes."""

from __future__ import annotations

import csv
import math
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from kinpack.archive.archive import Archive
from kinpack.archive.overviews.clustering import clusters_of
from kinpack.archive.overviews.coded import coded
from kinpack.archive.overviews.gram import draw_gram, gram_of
from kinpack.archive.overviews.mapping import CELLS, SIDE, draw_map, map_of
from kinpack.errors import KinpackError, MissingExtraError
from kinpack.pictures.images import Image, load_image
from kinpack.search.distances.distance import SearchError
from kinpack.sources.items import Item
from tests.cli_runs import ask, one_error, run


def bars(number: int, kind: int) -> Image:
    """A picture of one of three kinds: bars across, bars down, a disc."""
    rng = np.random.default_rng((kind, number))
    y, x = np.mgrid[0:48, 0:48]
    form = [
        np.sin(y / 3) > 0,
        np.sin(x / 3) > 0,
        np.hypot(x - 24, y - 24) < 15,
    ][kind]
    levels = 60 + 120 * form[:, :, None] + rng.integers(0, 12, (48, 48, 3))
    drawn: Image = levels.astype(np.uint8)
    return drawn


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty pictures of three classes, and one without a label."""
    path = tmp_path_factory.mktemp("over") / "a.kin"
    items = [
        Item(f"{kind}/{n}", str(kind), partial(bars, n, kind))
        for n in range(10)
        for kind in range(3)
    ]
    items.append(Item("alone", None, lambda: bars(99, 2)))
    with Archive.create(path, "classic") as archive:
        archive.add(items, quality=60)
    return path


def test_clusters_bring_kinds_together(packed: Path) -> None:
    pytest.importorskip("faiss")
    with Archive.open(packed) as archive:
        found = clusters_of(archive, 3)
        assert sorted(id_ for one in found for id_ in one.ids) == sorted(archive.ids)
        assert [one.number for one in found] == [1, 2, 3]
        assert [len(one.ids) for one in found] == [11, 10, 10]
        kinds = [{id_.partition("/")[0] for id_ in one.ids} - {"alone"} for one in found]
        assert all(len(kind) == 1 for kind in kinds)
        assert clusters_of(archive, 3) == found
        vectors, position = coded(archive, "auto"), {id_: i for i, id_ in enumerate(archive.ids)}
        for one in found:
            rows = [vectors.vectors[position[id_]] for id_ in one.ids]
            far = [float(np.square(row - np.mean(rows, axis=0)).sum()) for row in rows]
            assert far == pytest.approx(sorted(far), abs=1e-4)
            assert one.spread == pytest.approx(np.mean(far), abs=1e-3)
        # No more clusters than codes that differ, and each image in one.
        many = clusters_of(archive, 500)
        assert sum(len(one.ids) for one in many) == 31
        with pytest.raises(SearchError, match="1 or more"):
            clusters_of(archive, 0)


def test_without_faiss_clusters_name_the_extra(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with Archive.open(packed) as archive, pytest.raises(MissingExtraError) as error:
        clusters_of(archive, 3)
    assert "kinpack[fast]" in str(error.value)
    assert "engine" not in str(error.value)


def test_a_gram_matrix_is_that_of_plain_loops(packed: Path) -> None:
    with Archive.open(packed) as archive:
        found, vectors = gram_of(archive), coded(archive, "auto").vectors[:30].astype(float)
        labels = archive.labels[:30]
    centred = vectors - vectors.mean(0)
    for a, one in enumerate(found.classes):
        for b, other in enumerate(found.classes):
            cosines = [
                float(u @ v / math.sqrt((u @ u) * (v @ v)))
                for i, u in enumerate(centred)
                for j, v in enumerate(centred)
                if i != j and labels[i] == one and labels[j] == other
            ]
            assert found.matrix[a, b] == pytest.approx(np.mean(cosines), abs=1e-5)
    assert found.classes == ["0", "1", "2"]
    assert found.counts.tolist() == [10, 10, 10]
    assert (np.diag(found.matrix) > 0.5).all()
    assert draw_gram(found).dtype == np.uint8


def test_a_map_keeps_neighbours_and_draws_them(packed: Path) -> None:
    with Archive.open(packed) as archive:
        layout = map_of(archive)
        drawn = draw_map(layout, archive.read)
        vectors = coded(archive, "auto").vectors
    assert layout.ids[:3] == ["0/0", "1/0", "2/0"]
    assert 0 < layout.share <= 1
    assert layout.places.min() >= 0
    assert layout.places.max() == pytest.approx(1)
    centred = vectors - vectors.mean(0)
    plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    wanted = np.linalg.norm(plane[:, None] - plane[None], axis=2) / np.ptp(plane, axis=0).max()
    apart = np.linalg.norm(layout.places[:, None] - layout.places[None], axis=2)
    assert apart == pytest.approx(wanted, abs=1e-4)
    assert max(drawn.shape) == SIDE
    assert (drawn < 255).any(2).sum() >= (SIDE // CELLS) ** 2


def test_the_commands_write_and_tell(packed: Path, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    files = {name: tmp_path / name for name in ("c.csv", "c.html", "m.png", "g.png")}
    told = ask("cluster", packed, "-n", "3", "-o", files["c.csv"], "--html", files["c.html"])
    rows = list(csv.DictReader(files["c.csv"].open()))
    assert [(int(row["cluster"]), row["id"]) for row in rows] == [
        (one["number"], id_) for one in told for id_ in one["ids"]
    ]
    assert files["c.html"].read_text().count("<h2>") == 3
    assert len(ask("map", packed, "-o", files["m.png"])["images"]) == 31
    assert ask("gram", packed, "-o", files["g.png"])["classes"] == ["0", "1", "2"]
    for name in ("m.png", "g.png"):
        assert load_image(files[name]).shape[2] == 3
    assert "--force" in one_error(run("map", packed, "-o", files["m.png"], code=1).stderr)
    assert "look" in one_error(run("gram", packed, "--codes", "nothing", code=1).stderr)


def test_what_has_no_codes_or_labels_is_told(tmp_path: Path) -> None:
    with Archive.create(tmp_path / "bare.kin", "classic", describer=None) as archive:
        archive.add([Item("a", None, lambda: bars(1, 1))])
        for overview in (map_of, gram_of):
            with pytest.raises(KinpackError, match="embed"):
                overview(archive)
    with Archive.create(tmp_path / "plain.kin", "classic") as archive:
        archive.add([Item("a", None, lambda: bars(1, 1))])
        assert map_of(archive).places.tolist() == [[0, 0]]
        with pytest.raises(SearchError, match="label"):
            gram_of(archive)
