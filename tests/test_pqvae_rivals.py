"""PQ-VAE's rivals: the laws their papers state, and their measurement against plain loops."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import ImageError, SourceError
from papers.datasets import DataSet, LabelledPictures, load_data_set
from papers.pqvae import product_rivals, retrieval, rivals
from papers.pqvae.gist import GistSettings, gabor_bank, gist, whiten
from papers.pqvae.hashing import itq, lsh, spectral, spherical
from papers.pqvae.hashing.hasher import Hasher, HashingError
from papers.pqvae.hashing.principal import principal_components
from papers.pqvae.rival_settings import METHODS
from tests.distance_tables import symmetric_tables

pytestmark = pytest.mark.slow


@pytest.fixture
def clusters(rng: np.random.Generator) -> NDArray[np.float32]:
    """Vectors (2000, 24) about 10 centres, wider along the first components."""
    centres = rng.normal(size=(10, 24)) * np.linspace(3, 0.5, 24)
    x = centres[rng.integers(0, 10, 2000)] + rng.normal(size=(2000, 24)) * 0.7 + 5
    return x.astype(np.float32)


# --- locality-sensitive hashing -------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.2, 0.8, 1.5, 2.5])
def test_hyperplanes_agree_with_the_probability_of_the_angle(angle: float) -> None:
    D, bits = 8, 20_000
    pair = np.zeros((2, D), np.float32)
    pair[0, 0], pair[1, :2] = 1, (np.cos(angle), np.sin(angle))
    # The mean is 0, so that angles are as stated.
    hasher = lsh.fit(np.concatenate([pair, -pair]), bits=bits, seed=3)
    codes = hasher.encode(pair)
    agree = float((codes[0] == codes[1]).mean())
    assert agree == pytest.approx(1 - angle / np.pi, abs=4 * 0.5 / np.sqrt(bits))


@pytest.mark.parametrize("distance", [0.3, 1.0, 3.0])
def test_slabs_are_shared_with_the_probability_of_the_distance(distance: float) -> None:
    D, bits = 16, 20_000
    pair = np.zeros((2, D), np.float32)
    pair[:, 0] = (distance / 2, -distance / 2)
    hasher = lsh.fit(pair, bits=bits, seed=1, settings=lsh.LshSettings(width=2.0))
    assert isinstance(hasher, lsh.ParityHasher)
    cells = hasher.cells(pair)
    same = float((cells[0] == cells[1]).mean())
    assert same == pytest.approx(lsh.same_cell(distance, hasher.width), abs=0.015)
    np.testing.assert_array_equal(hasher.encode(pair), cells % 2 == 1)
    assert lsh.same_cell(0.0, 1.0) == 1.0


# --- spectral hashing -----------------------------------------------------------------------------


def test_smoothest_functions_are_those_of_a_plain_search() -> None:
    extent, count = np.array([5.0, 3.0, 0.4]), 14
    every = [(k / e, d, k) for d, e in enumerate(extent) for k in range(1, 40)]
    expected = [(d, k) for _, d, k in sorted(every)[:count]]
    direction, mode = spectral.smoothest(extent, count)
    assert list(zip(direction.tolist(), mode.tolist(), strict=True)) == expected


def test_eigenfunctions_on_a_uniform_box_are_the_formula(rng: np.random.Generator) -> None:
    x = (rng.random((4000, 2)) * (4.0, 1.0)).astype(np.float32)
    hasher = spectral.fit(x, bits=6)
    low, high = x.min(axis=0), x.max(axis=0)
    values, codes = hasher.eigenfunctions(x), hasher.encode(x)
    # The long side has 4 (or 5) half waves before the short side has its first.
    assert hasher.direction.tolist()[:3] == [0, 0, 0]
    assert hasher.mode.tolist()[:3] == [1, 2, 3]
    assert 1 in hasher.direction.tolist()
    for bit, (d, k) in enumerate(zip(hasher.direction, hasher.mode, strict=True)):
        expected = np.cos(k * np.pi * (x[:, d] - low[d]) / (high[d] - low[d]))
        # A principal direction may point either way: x − a then counts from the other end, and
        # the axes are met only as nearly as random points tell.
        nearest = min(
            np.abs(values[:, bit] - expected).mean(),
            np.abs(values[:, bit] - (-1) ** int(k) * expected).mean(),
        )
        assert nearest < 0.12
        np.testing.assert_array_equal(codes[:, bit], values[:, bit] > 0)
    # Eigenfunctions are orthogonal under the uniform density.
    products = values.T @ values / len(x)
    assert np.abs(products - np.diag(np.diag(products))).max() < 0.1


# --- spherical hashing ----------------------------------------------------------------------------


def test_spheres_are_balanced_and_overlap_by_a_quarter(clusters: NDArray[np.float32]) -> None:
    hasher = spherical.fit(clusters, bits=16, seed=0)
    codes = hasher.encode(clusters)
    assert hasher.rounds < spherical.SphericalSettings().most_rounds
    np.testing.assert_allclose(codes.mean(axis=0), 0.5, atol=0.005)
    both = codes.T.astype(float) @ codes / (len(codes) / 4)
    overlaps = both[~np.eye(16, dtype=bool)]
    assert np.abs(overlaps - 1).mean() <= 0.10 + 0.01
    assert overlaps.std() <= 0.15 + 0.01
    expected = np.linalg.norm(clusters[:, None] - hasher.pivots, axis=2) <= hasher.radii
    assert (expected != codes).mean() < 0.001
    assert hasher.distance == "spherical"


def test_one_sphere_is_balanced_and_too_few_vectors_are_refused(
    clusters: NDArray[np.float32],
) -> None:
    assert spherical.fit(clusters, bits=1).encode(clusters).mean() == pytest.approx(0.5, abs=0.01)
    with pytest.raises(HashingError, match="5 spheres"):
        spherical.fit(clusters[:4], bits=5)


# --- iterative quantisation -----------------------------------------------------------------------


def test_rotation_is_orthogonal_and_the_loss_never_rises(clusters: NDArray[np.float32]) -> None:
    v = principal_components(clusters, 12).project(clusters)
    rotation, losses = itq.learn_rotation(v, seed=1, rounds=30)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(12), atol=1e-5)
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(losses))
    assert losses[-1] < losses[0]
    # Q of the last rotation, with the codes it was found for, by its definition.
    before, _ = itq.learn_rotation(v, seed=1, rounds=29)
    codes = np.where(v @ before > 0, 1.0, -1.0)
    assert float(np.square(codes - v @ rotation).sum()) == pytest.approx(losses[-1], rel=1e-4)


def test_itq_codes_are_the_signs_of_rotated_components(clusters: NDArray[np.float32]) -> None:
    hasher = itq.fit(clusters, bits=12, seed=1)
    v = principal_components(clusters, 12).project(clusters)
    rotation, _ = itq.learn_rotation(v, seed=1, rounds=50)
    assert (hasher.encode(clusters) != (v @ rotation > 0)).mean() < 1e-3
    with pytest.raises(HashingError, match="at most 24"):
        itq.fit(clusters, bits=25)


def test_principal_directions_are_those_of_the_covariance(rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (300, 6), dtype=np.uint8)
    found = principal_components(x, 3)
    values, _ = np.linalg.eigh(np.cov(x.T.astype(float), bias=True))
    np.testing.assert_allclose(found.variance, values[::-1][:3], rtol=1e-4)
    np.testing.assert_allclose(found.project(x).var(axis=0), values[::-1][:3], rtol=1e-3)


# --- deep hashing ---------------------------------------------------------------------------------


@pytest.mark.learn
@pytest.mark.parametrize("centred", [False, True])
def test_deep_hashing_loss_is_its_formula(rng: np.random.Generator, *, centred: bool) -> None:
    torch = pytest.importorskip("torch")
    from papers.pqvae.hashing import deep_hashing

    H = np.tanh(rng.normal(size=(7, 4)))
    weights = [rng.normal(size=(5, 6)), rng.normal(size=(4, 5))]
    biases = [rng.normal(size=5), rng.normal(size=4)]
    settings = deep_hashing.DeepHashingSettings(
        variance=0.7, independence=0.3, decay=0.05, centred=centred
    )
    expected = 0.0
    for row in H:
        for k, h in enumerate(row):
            middle = H[:, k].mean() if centred else 0.0
            expected += ((1.0 if h > 0 else -1.0) - h) ** 2 / (2 * len(H))
            expected -= 0.7 * (h - middle) ** 2 / (2 * len(H))
    for W, c in zip(weights, biases, strict=True):
        gram = W @ W.T
        for i in range(len(W)):
            for j in range(len(W)):
                expected += 0.3 / 2 * (gram[i, j] - (i == j)) ** 2
        expected += 0.05 / 2 * (np.square(W).sum() + np.square(c).sum())

    def tensors(arrays: list[NDArray[np.float64]]) -> list[Any]:
        return [torch.tensor(a) for a in arrays]

    found = deep_hashing.loss(torch.tensor(H), tensors(weights), tensors(biases), settings)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.learn
def test_deep_hashing_learns(clusters: NDArray[np.float32]) -> None:
    pytest.importorskip("torch")
    from papers.pqvae.hashing import deep_hashing

    settings = deep_hashing.DeepHashingSettings(epochs=4, batch=100, learning_rate=1e-3)
    hasher = deep_hashing.fit(clusters, bits=8, seed=0, settings=settings)
    assert hasher.losses[-1] < hasher.losses[0]
    again = deep_hashing.fit(clusters, bits=8, seed=0, settings=settings)
    codes = hasher.encode(clusters)
    np.testing.assert_array_equal(codes, again.encode(clusters))
    assert 0.2 < codes.mean() < 0.8
    assert [w.shape for w in hasher.weights] == [(16, 24), (12, 16), (8, 12)]


# --- GIST -----------------------------------------------------------------------------------------


def test_gist_of_a_constant_picture_is_zero() -> None:
    flat = np.full((2, 32, 32, 3), 77, np.uint8)
    found = gist(flat)
    assert found.shape == (2, 512)
    assert found.dtype == np.float32
    assert np.abs(found).max() < 1e-3


def test_gist_tells_orientations_and_places() -> None:
    y, x = np.mgrid[:32, :32]
    waves = 127 + 100 * np.sin(2 * np.pi * np.stack([x, y]) * 0.25)
    waves[:, :, 16:] = 127
    found = gist(waves[..., None].astype(np.uint8)).reshape(2, 4, 8, 4, 4)
    energy = found.sum(axis=(1, 3, 4))
    # A wave across, along the frequency's angle 0, and one downwards, a quarter turn from it.
    assert {int(energy[0].argmax()), int(energy[1].argmax())} == {0, 4}
    assert found[:, :, :, :, :1].mean() > 2 * found[:, :, :, :, 3:].mean()


def test_gist_of_a_turned_picture_has_its_orientations_moved(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (1, 32, 32, 1), dtype=np.uint8)
    upright = gist(picture).reshape(4, 8, 4, 4)
    turned = gist(np.rot90(picture, axes=(1, 2))).reshape(4, 8, 4, 4)
    assert np.abs(turned - upright).max() > 0.05
    for j in range(8):
        expected = np.rot90(upright[:, j], axes=(1, 2))
        np.testing.assert_allclose(turned[:, (j + 4) % 8], expected, rtol=0.02, atol=2e-3)


def test_gist_is_the_plain_computation(rng: np.random.Generator) -> None:
    settings = GistSettings(orientations=(3, 2), grid=2, edge=4)
    picture = rng.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    found = gist(picture, settings=settings).reshape(5, 2, 2)
    assert found.size == settings.dimensions
    grey = whiten(picture.mean(axis=3, dtype=np.float32))[0]
    wide = np.pad(grey, 4, mode="symmetric")
    side, filters = 16, [(0, 3, j) for j in range(3)] + [(1, 2, j) for j in range(2)]
    for number, (i, n_i, j) in enumerate(filters):
        gabor = np.empty((side, side))
        for v in range(side):
            for u in range(side):
                fy, fx = ((v + 8) % 16 - 8) / side, ((u + 8) % 16 - 8) / side
                t = np.arctan2(fy, fx) + np.pi * j / n_i
                t = t - 2 * np.pi if t > np.pi else t
                r = np.hypot(fx, fy) / (0.3 / 1.85**i)
                gabor[v, u] = np.exp(-3.5 * (r - 1) ** 2 - 2 * np.pi * n_i**2 / 64 * t * t)
        np.testing.assert_allclose(gabor_bank(side, (3, 2))[number], gabor, atol=1e-6)
        response = np.abs(np.fft.ifft2(np.fft.fft2(wide) * gabor))[4:12, 4:12]
        for r in range(2):
            for c in range(2):
                part = response[4 * r : 4 * r + 4, 4 * c : 4 * c + 4]
                assert found[number, r, c] == pytest.approx(part.mean(), rel=1e-3, abs=1e-5)


def test_gist_refuses_what_it_cannot_divide() -> None:
    with pytest.raises(ImageError, match="square"):
        gist(np.zeros((1, 32, 28, 3), np.uint8))
    with pytest.raises(ImageError, match="multiple of 4"):
        gist(np.zeros((1, 30, 30, 3), np.uint8))


# --- retrieval ------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", ["hamming", "spherical"])
@pytest.mark.parametrize("bits", [7, 64, 72])
@pytest.mark.parametrize("at", [5, 25, 1000])
def test_binary_ranking_is_the_plain_sort(
    rng: np.random.Generator, distance: Any, bits: int, at: int
) -> None:
    database = rng.random((60, bits)) < rng.random((60, 1))
    database[5], database[40] = False, database[3]
    queries = np.concatenate([rng.random((9, bits)) < 0.4, database[3:6]])
    labels, query_labels = rng.integers(0, 60, 60), rng.integers(0, 60, len(queries))
    found = retrieval.binary_hits(queries, query_labels, database, labels, distance=distance, at=at)
    for i, query in enumerate(queries):
        order = []
        for place, code in enumerate(database):
            differ, shared = int((query ^ code).sum()), int((query & code).sum())
            value = Fraction(differ)
            if distance == "spherical" and differ:
                value = Fraction(differ, shared) if shared else Fraction(10_000 + differ)
            order.append((value, place))
        ranking = [place for _, place in sorted(order)[:at]]
        assert found[i].tolist() == [bool(labels[p] == query_labels[i]) for p in ranking]


@pytest.mark.parametrize("levels", [1, 3, 60, 100_000])
def test_places_beyond_what_a_sample_tells_are_found(rng: np.random.Generator, levels: int) -> None:
    spread = rng.integers(0, levels, 5000).astype(np.int32)
    # Every 16th, of which the sample is made, is nearer, or farther, than its neighbours.
    misleading = [spread.copy(), spread.copy()]
    misleading[0][::16], misleading[1][::16] = 0, levels
    for steps in (spread, *misleading):
        found = retrieval._first(steps, 1000)
        np.testing.assert_array_equal(found, np.argsort(steps, kind="stable")[:1000])


@pytest.mark.parametrize(("M", "K"), [(4, 16), (3, 16), (2, 5), (3, 40)])
@pytest.mark.parametrize("n", [30, 3000])
def test_product_ranking_is_the_plain_sort(
    rng: np.random.Generator, M: int, K: int, n: int
) -> None:
    # Whole words: distances are exact, and many are equal.
    books = rng.integers(-2, 3, (M, K, 2)).astype(np.float32)
    quantiser, tables = ProductQuantiser(books), symmetric_tables(ProductQuantiser(books))
    codes = rng.integers(0, K, (n, M), dtype=np.uint8)
    labels, asked = rng.integers(0, 40, n), codes[rng.permutation(n)[:12]]
    query_labels = rng.integers(0, 40, 12)
    symmetric = retrieval.product_hits(quantiser, asked, query_labels, codes, labels)
    points = rng.integers(-2, 3, (12, 2 * M)).astype(np.float32)
    asymmetric = retrieval.product_hits(quantiser, points, query_labels, codes, labels)
    decoded = quantiser.decode(codes)
    for i in range(12):
        sums = [sum(tables[m, asked[i, m], code[m]] for m in range(M)) for code in codes]
        ranking = np.lexsort((np.arange(n), sums))[:1000]
        np.testing.assert_array_equal(symmetric[i], labels[ranking] == query_labels[i])
        exact = np.square(decoded - points[i]).sum(axis=1)
        ranking = np.lexsort((np.arange(n), exact))[:1000]
        np.testing.assert_array_equal(asymmetric[i], labels[ranking] == query_labels[i])


def test_score_is_average_precision_in_percent() -> None:
    hits = np.zeros((1500, 4), bool)
    hits[:1000, :2], hits[1000:, 1] = True, True
    found = retrieval.score(hits)
    assert found.first_queries == pytest.approx(100.0)
    assert found.all_queries == pytest.approx((1000 * 100 + 500 * 50) / 1500)


def test_held_out_images_are_as_many_of_each_class(rng: np.random.Generator) -> None:
    labels = rng.permutation(np.repeat(np.arange(5), 40)).astype(np.int64)
    kept, held = retrieval.held_out(labels, per_class=7)
    assert np.bincount(labels[held]).tolist() == [7] * 5
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(200))
    assert retrieval.held_out(labels, per_class=100)[0].size == 100


def test_file_order_is_that_of_the_data_set(tmp_path: Path, rng: np.random.Generator) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    levels = {split: rng.permutation(40) for split in ("train", "test")}
    names = ["fox", "ant", "bee"]
    features = {"img": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    (tmp_path / "cifar10").mkdir()
    for split, shown in levels.items():
        pictures = [{"bytes": _png(int(level)), "path": None} for level in shown]
        table = pa.table({"img": pictures, "label": pa.array(shown % 3, pa.int64())})
        described = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": described})
        pq.write_table(table, tmp_path / "cifar10" / f"{split}-00000-of-00001.parquet")
    by_class = load_data_set("cifar10", tmp_path)
    assert by_class.train.labels.tolist() == sorted(by_class.train.labels.tolist())
    data = retrieval.in_file_order(by_class, tmp_path)
    for split, shown in levels.items():
        pictures = getattr(data, split)
        np.testing.assert_array_equal(pictures.pixels[:, 0, 0, 0], shown)
        # Classes are numbered by name: ant, bee, fox.
        np.testing.assert_array_equal(pictures.labels, np.array([2, 0, 1])[shown % 3])
    other = DataSet("cifar10", by_class.train.take(np.arange(39)), by_class.test, by_class.toy)
    with pytest.raises(SourceError, match="not those that were loaded"):
        retrieval.in_file_order(other, tmp_path)


def _png(level: int) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(np.full((32, 32, 3), level, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


# --- product quantisers ---------------------------------------------------------------------------


def test_optimised_product_quantiser_rotates_and_loses_less(clusters: NDArray[np.float32]) -> None:
    pytest.importorskip("faiss")
    errors = []
    for rotate in (False, True):
        settings = product_rivals.ProductSettings(K=16, rotate=rotate)
        found = product_rivals.fit(clusters, bits=16, settings=settings)
        assert (found.quantiser.M, found.quantiser.K) == (4, 16)
        described = found.describe(clusters)
        error = described - found.quantiser.decode(found.encode(clusters))
        errors.append(float(np.square(error).sum()))
        if found.rotation is not None:
            np.testing.assert_allclose(found.rotation.T @ found.rotation, np.eye(24), atol=1e-5)
    assert errors[1] < errors[0]
    again = product_rivals.fit(clusters, bits=16, settings=settings)
    np.testing.assert_array_equal(found.quantiser.codebooks, again.quantiser.codebooks)
    with pytest.raises(HashingError, match="12 bits"):
        product_rivals.fit(clusters, bits=12)
    with pytest.raises(HashingError, match="5 books"):
        product_rivals.fit(clusters, bits=20, settings=settings)


# --- all of it ------------------------------------------------------------------------------------


def random_pictures(rng: np.random.Generator, n: int) -> LabelledPictures:
    """Pictures (16 × 16) of two classes that differ in brightness."""
    labels = rng.integers(0, 2, n)
    light = 60 + 90 * labels[:, None, None, None]
    pixels = (light + rng.normal(0, 30, (n, 16, 16, 3))).clip(0, 255).astype(np.uint8)
    return LabelledPictures(pixels, labels.astype(np.int64), 16, 16)


@pytest.mark.slow
@pytest.mark.learn
def test_every_rival_gets_a_row_and_is_not_computed_again(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("faiss")
    train, test = random_pictures(rng, 520), random_pictures(rng, 20)
    data = DataSet("random", train, test, test)
    told: list[str] = []
    rows = rivals.run_rivals(data, tmp_path, plan=rivals.QUICK, progress=told.append)
    assert len(rows) == 2 * 5 + 2
    assert {row["method"] for row in rows} == set(METHODS)
    for row in rows:
        assert list(row) == [
            *("method", "features", "labels", "bits", "N", "M", "K", "protocol"),
            *("map_at_1000", "std", "seeds", "machine", "minutes"),
        ]
        assert row["M"] * np.log2(row["K"]) == row["bits"] == 32
        assert (row["labels"], row["N"], row["protocol"]) == (False, 1, "A-quick")
        assert 0 <= row["map_at_1000"] <= 100
        assert row["seeds"] == (1 if row["method"] == "spectral" else 2)
    by_pixels = [row["map_at_1000"] for row in rows if row["features"].startswith("PCA")]
    assert min(by_pixels) > 55, "brightness tells the classes"

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a finished row was computed again")

    monkeypatch.setattr(rivals, "_both_sides", refuse)
    assert rivals.run_rivals(data, tmp_path, plan=rivals.QUICK) == rows
    with pytest.raises(HashingError, match="there is no rival"):
        rivals.run_rivals(data, tmp_path, methods=["itqq"])


def test_hashers_refuse_what_they_were_not_learned_from(clusters: NDArray[np.float32]) -> None:
    hashers: list[Hasher] = [
        module.fit(clusters, bits=8, seed=0) for module in (lsh, spectral, spherical, itq)
    ]
    for hasher in hashers:
        assert hasher.encode(clusters[:1]).shape == (1, 8)
        for wrong in (clusters[:, :5], clusters[0], clusters[:3] * np.nan):
            with pytest.raises(HashingError):
                hasher.encode(wrong)
    for module in (lsh, spectral, spherical, itq):
        with pytest.raises(HashingError, match="0 bits"):
            module.fit(clusters, bits=0)
