"""sMIC's models, their training, and what is measured of their latent spaces."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")
pytest.importorskip("sklearn")

import torch
from torch import Tensor

from kinpack.errors import KinpackError
from kinpack.learn.training.losses import correlation_matrix_distance
from kinpack.metrics import psnr
from papers import gram
from papers.datasets import LabelledPictures
from papers.smic import measures, models, training
from papers.smic.models import ModelConfig, aligned, cvae
from papers.smic.pictures import latents_of, psnr_of
from papers.variational import VaeConfig, VariationalAutoencoder

pytestmark = [pytest.mark.learn, pytest.mark.slow]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TINY: dict[str, Any] = {"channels": 2, "epochs": 1}


def pictures(n: int = 256, channels: int = 3, height: int = 32) -> LabelledPictures:
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (n, 32, 32, channels), dtype=np.uint8)
    return LabelledPictures(pixels, rng.integers(0, 4, n), height, height)


# The alignment term


def rows_of(z: Tensor) -> list[list[float]]:
    return [[float(x) for x in row] for row in z.tolist()]


def plain_gram(z: list[list[float]], *, normalised: bool) -> list[list[float]]:
    if normalised:
        z = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in z]
    return [[sum(p * q for p, q in zip(a, b, strict=True)) for b in z] for a in z]


def plain_distance(A: list[list[float]], B: list[list[float]]) -> float:
    n = len(A)
    trace = sum(A[i][j] * B[j][i] for i in range(n) for j in range(n))
    norms = [math.sqrt(sum(x * x for row in matrix for x in row)) for matrix in (A, B)]
    return 1 - trace / (norms[0] * norms[1])


def plain_log_det(G: list[list[float]], stabiliser: float) -> float:
    """Elimination in exact fractions: the pivots of I + G / stabiliser."""
    n, total = len(G), 0.0
    rows = [
        [(i == j) + Fraction(G[i][j]) / Fraction(stabiliser) for j in range(n)] for i in range(n)
    ]
    for k in range(n):
        total += math.log(rows[k][k])
        for i in range(k + 1, n):
            share = rows[i][k] / rows[k][k]
            rows[i] = [a - share * b for a, b in zip(rows[i], rows[k], strict=True)]
    return total / n


@pytest.mark.parametrize("gram", ["raw", "normalised"])
@pytest.mark.parametrize(
    ("variant", "reading"),
    [("s", ""), ("r", "fixed"), ("r", "redrawn"), ("g", "ones"), ("g", "log-det")],
)
def test_alignment_against_plain_loops(variant: str, reading: str, gram: str) -> None:
    config = ModelConfig(variant=variant, reading=reading, gram=gram, lam=0.5)
    seeded = torch.Generator().manual_seed(2)
    z = torch.randn(6, 9, dtype=torch.float64, generator=seeded, requires_grad=True)
    labels, redraw = [0, 2, 0, 1, 2, 2], [1, 1, 0, 0, 1, 3]
    found = training.alignment(z, torch.tensor(labels), config, redraw=torch.tensor(redraw))
    assert found.dtype == torch.float64
    G = plain_gram(rows_of(z.detach()), normalised=gram == "normalised")
    if reading == "log-det":
        expected = plain_log_det(G, training.STABILISER)
    else:
        of_target = {"": labels, "fixed": labels, "redrawn": redraw, "ones": [0] * 6}[reading]
        expected = plain_distance(G, [[float(a == b) for b in of_target] for a in of_target])
    assert found.item() == pytest.approx(expected, rel=1e-10)

    def term(x: Tensor) -> Tensor:
        return training.alignment(x, torch.tensor(labels), config, redraw=torch.tensor(redraw))

    assert torch.autograd.gradcheck(term, (z,))


def test_raw_and_normalised_gram_differ() -> None:
    z = torch.tensor([[9.0, 1], [0, 1], [1, 0]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 0])
    values = [
        float(training.alignment(z, labels, aligned("s", 1, gram=gram), redraw=labels))
        for gram in ("raw", "normalised")
    ]
    # The long one owns the raw matrix, whatever the others do.
    assert abs(values[0] - values[1]) > 0.1
    stretched = z * torch.tensor([[2.0], [7.0], [0.1]])
    config = aligned("s", 1, gram="normalised")
    assert float(training.alignment(stretched, labels, config, redraw=labels)) == pytest.approx(
        values[1]
    )


# Targets of rMIC


def targets_seen(config: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Target Gram matrix of each batch, where each epoch shows the same pictures in one order."""
    seen: list[Tensor] = []

    def recorded(G: Tensor, target: Tensor) -> Tensor:
        seen.append(target.clone())
        return correlation_matrix_distance(G, target)

    monkeypatch.setattr(training, "BATCH", 32)
    monkeypatch.setattr(training, "correlation_matrix_distance", recorded)
    monkeypatch.setattr(torch, "randperm", lambda n, generator=None: torch.arange(n))
    training.train(config, pictures(n=32))
    return seen


def test_a_fixed_labelling_stays_and_a_redrawn_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {**TINY, "epochs": 3}
    fixed = targets_seen(aligned("r", 1, **settings), monkeypatch)
    assert len(fixed) == 3
    labels = training.target_labels(pictures(n=32), aligned("r", 1, **settings))
    for target in fixed:
        assert torch.equal(target, (labels[:, None] == labels[None]).float())
    redrawn = targets_seen(aligned("r", 1, reading="redrawn", **settings), monkeypatch)
    assert len(redrawn) == 3
    for i, target in enumerate(redrawn):
        assert 0.05 < float(target.mean()) < 0.2
        for other in [*redrawn[:i], fixed[0]]:
            assert not torch.equal(target, other)


def test_target_labels() -> None:
    shown = pictures(n=5000)
    for config in (aligned("s", 1), aligned("g", 1), cvae()):
        assert torch.equal(training.target_labels(shown, config), torch.from_numpy(shown.labels))
    random = training.target_labels(shown, aligned("r", 1))
    assert torch.equal(random, training.target_labels(shown, aligned("r", 1 / 2)))
    assert not torch.equal(random, training.target_labels(shown, aligned("r", 1, seed=1)))
    counts = torch.bincount(random)
    assert len(counts) == training.RANDOM_CLASSES
    assert ((counts - 500).abs() < 100).all()
    # Of no use to tell the true classes.
    table = np.histogram2d(random.numpy(), shown.labels, bins=(10, 4))[0]
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    assert float((np.square(table - expected) / expected).sum()) < 70


# Training


def weights(network: VariationalAutoencoder) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("config", [cvae(**TINY), aligned("s", 1 / 10, **TINY)], ids=["C", "s"])
def test_training_repeats(config: ModelConfig, tmp_path: Path) -> None:
    shown = pictures()
    (first, figures), (second, again) = (training.train(config, shown) for _ in range(2))
    assert weights(first).keys() == weights(second).keys()
    assert all(torch.equal(value, weights(second)[name]) for name, value in weights(first).items())
    assert {**figures, "minutes": 0} == {**again, "minutes": 0}
    other, _ = training.train(replace(config, seed=1), shown)
    assert not torch.equal(weights(first)["mean.weight"], weights(other)["mean.weight"])
    assert figures["steps"] == len(shown) // training.BATCH
    parts = figures["mse"] + config.lam * figures["align"] + config.kl_weight * figures["kl"]
    assert figures["loss"] == pytest.approx(parts, rel=1e-4)
    assert (figures["align"] > 0) == (config.variant != "C")
    assert (figures["kl"] > 0) == (config.variant == "C")
    assert not first.training

    path = tmp_path / "models" / "one.pt"
    training.save(path, first, figures)
    assert [p.name for p in path.parent.iterdir()] == ["one.pt"]
    loaded, kept = training.load(path)
    assert kept == figures
    assert loaded.config == first.config == VaeConfig(latent=2)
    assert not loaded.training
    assert weights(loaded).keys() == weights(first).keys()
    assert all(torch.equal(value, weights(first)[name]) for name, value in weights(loaded).items())
    assert np.array_equal(latents_of(loaded, shown), latents_of(first, shown))


def test_training_learns_and_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "BATCH", 16)
    shares: list[float] = []
    rng = np.random.default_rng(5)
    # Plain colours, which a network of any kind learns soon.
    pixels = np.broadcast_to(rng.integers(0, 256, (32, 1, 1, 1)), (32, 32, 32, 1))
    shown = LabelledPictures(pixels.astype(np.uint8), rng.integers(0, 4, 32), 32, 32)
    short, _ = training.train(cvae(kl_weight=0.0, channels=2, epochs=1), shown)
    config = cvae(kl_weight=0.0, channels=2, epochs=25)
    network, figures = training.train(config, shown, progress=shares.append)
    assert shares == [1.0]
    assert figures["kl"] == figures["align"] == 0
    quality = [psnr_of(net, latents_of(net, shown), shown).mean() for net in (short, network)]
    assert quality[1] > quality[0] + 3


def test_training_aligns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "BATCH", 32)
    rng = np.random.default_rng(6)
    pixels = np.broadcast_to(rng.integers(0, 256, (32, 1, 1, 3)), (32, 32, 32, 3))
    labels = rng.integers(0, 4, 32)
    shown = LabelledPictures(pixels.astype(np.uint8), labels, 32, 32)
    figures = [
        training.train(aligned("g", 1.0, channels=2, epochs=epochs), shown)[1] for epochs in (1, 12)
    ]
    assert figures[1]["align"] < figures[0]["align"]


def test_latents_and_psnr_are_those_of_each_picture() -> None:
    torch.manual_seed(0)
    network = VariationalAutoencoder(VaeConfig(image_channels=1, first=3, second=4, latent=2))
    shown = pictures(n=3, channels=1, height=28)
    latents = latents_of(network, shown)
    assert latents.shape == (3, 32)
    assert latents.dtype == np.float64
    found = psnr_of(network, latents, shown)
    with torch.inference_mode():
        for i in range(3):
            x = torch.from_numpy(shown.pixels[i]).permute(2, 0, 1)[None].float() / 255
            z = network.encode(x)
            # Channel by channel, row by row.
            assert latents[i, 16 + 4 * 2 + 3] == pytest.approx(float(z[0, 1, 2, 3]), abs=1e-5)
            decoded = (network.decode(z).clamp(0, 1) * 255).round().byte()[0].permute(1, 2, 0)
            expected = psnr(shown.pixels[i, :28, :28].copy(), decoded.numpy()[:28, :28].copy())
            assert found[i] == pytest.approx(expected, abs=0.01)


# Table 1


def test_models_of_table_1() -> None:
    printed = {
        "g": ["1", "1/5", "1/20", "1/50", "1/100", "1/200", "1/500", "1/1000"],
        "s": ["1", "2/3", "1/3", "1/5", "1/10", "1/20", "1/30", "1/50"],
        "r": ["1", "1/2", "1/10", "1/20", "1/33", "1/50", "1/200", "1/1000"],
    }
    main = models.main_models()
    assert len(main) == 25
    assert [m.variant for m in main].count("C") == 1
    for variant, row in printed.items():
        found = [m.lam for m in main if m.variant == variant]
        assert found == [float(Fraction(text)) for text in row]
    assert {(m.dataset, m.channels, m.seed, m.gram) for m in main} == {("cifar10", 64, 0, "raw")}
    # Eq. 6 has no divergence; C-VAE has.
    assert all((m.kl_weight > 0) == (m.variant == "C") for m in main)


def test_names_of_models_are_unique() -> None:
    every = models.all_models()
    assert len({m.name for m in every}) == len(set(every)) == len(every)
    quick = models.quick_models()
    assert len({m.name for m in quick}) == len(quick)
    assert {m.variant for m in quick} == set(models.VARIANTS)
    for model in [*every, *quick]:
        assert ModelConfig.from_dict(model.to_dict()) == model
        assert ModelConfig.from_dict({**model.to_dict(), "psnr_db": 30.0}) == model
        assert set(model.name) <= set("abcdefghijklmnopqrstuvwxyzC0123456789_.-")


def test_seeds_of_c_and_of_the_corners() -> None:
    every = models.all_models()
    corners = [("C", 0.0)]
    corners += [(v, models.LAMBDAS[v][k]) for v in ("s", "r", "g") for k in (0, -1)]
    for variant, lam in corners:
        wanted: dict[str, Any] = {"dataset": "cifar10", "channels": 64, "gram": "raw"}
        wanted["kl_weight"] = models.KL_WEIGHT if variant == "C" else 0.0
        wanted["reading"] = {"r": "fixed", "g": "ones"}.get(variant, "")
        found = models.find(every, variant=variant, lam=lam, **wanted)
        assert {m.seed for m in found} == {0, 1, 2}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"variant": "x"}, "no variant"),
        ({"variant": "s", "lam": 1.0, "reading": "fixed"}, "read as 'fixed'"),
        ({"variant": "r", "lam": 1.0}, "read as ''"),
        ({"variant": "g", "lam": 1.0, "reading": "redrawn"}, "read as 'redrawn'"),
        ({"gram": "centred"}, "raw or normalised"),
        ({"variant": "C", "lam": 0.5}, "check λ"),
        ({"variant": "s"}, "check λ"),
    ],
)
def test_configuration_refuses(values: dict[str, Any], says: str) -> None:
    with pytest.raises(KinpackError, match=says):
        ModelConfig.from_dict(values)


# Measures


def latents(n: int = 40, d: int = 5, classes: int = 3) -> tuple[Floats, Ints]:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, classes, n)
    return rng.normal(0, 1, (classes, d))[labels] + rng.normal(0, 0.6, (n, d)), labels


def plain_cosine(a: list[float], b: list[float]) -> float:
    inner = sum(p * q for p, q in zip(a, b, strict=True))
    return inner / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))


def test_angles_against_plain_loops() -> None:
    B, labels = latents()
    rows = B.tolist()
    within: list[float] = []
    between: list[float] = []
    for i in range(len(rows)):
        for j in range(len(rows)):
            if i != j:
                cosine = abs(plain_cosine(rows[i], rows[j]))
                (within if labels[i] == labels[j] else between).append(cosine)
    every = sorted(within + between)
    found = measures.angles(B, labels)
    assert found["cosine_within"] == pytest.approx(sum(within) / len(within))
    assert found["cosine_between"] == pytest.approx(sum(between) / len(between))
    assert found["cosine_mean"] == pytest.approx(sum(every) / len(every))
    middle = (every[(len(every) - 1) // 2] + every[len(every) // 2]) / 2
    assert found["cosine_median"] == pytest.approx(middle)


@pytest.mark.parametrize(("n", "d", "rank"), [(40, 6, 6), (6, 40, 6), (30, 12, 4), (12, 30, 4)])
def test_ranks_are_those_of_the_gram_matrix(n: int, d: int, rank: int) -> None:
    rng = np.random.default_rng(8)
    B = (rng.normal(size=(n, rank)) * 2.0 ** -np.arange(rank)) @ rng.normal(size=(rank, d))
    G = gram.gram_matrix(B)
    found = measures.ranks(B)
    assert found["rank_numerical"] == gram.rank_numerical(G) == rank
    assert found["rank_effective"] == pytest.approx(gram.rank_effective(G), rel=1e-6)
    assert found["rank_energy_99"] == gram.rank_energy(G, fraction=0.99)
    assert found["rank_energy_999"] == gram.rank_energy(G, fraction=0.999)
    # Squared lengths along the principal directions, in a plain loop.
    energies = [s * s for s in np.linalg.svd(B, compute_uv=False).tolist()]
    reached, count = 0.0, 0
    while reached < 0.99 * sum(energies):
        reached, count = reached + energies[count], count + 1
    assert found["rank_energy_99"] == count


def test_grouping_against_plain_loops() -> None:
    B, labels = latents()
    rows, classes, n = B.tolist(), labels.tolist(), len(B)
    far = [[1 - plain_cosine(a, b) for b in rows] for a in rows]
    right, widths = 0, []
    for i in range(n):
        others = sorted((far[i][j], j) for j in range(n) if j != i)
        votes = [classes[j] for _, j in others[: measures.NEIGHBOURS]]
        right += max(range(3), key=votes.count) == classes[i]
        mean = {}
        for c in range(3):
            members = [far[i][j] for j in range(n) if j != i and classes[j] == c]
            mean[c] = sum(members) / len(members)
        own = mean.pop(classes[i])
        nearest = min(mean.values())
        widths.append((nearest - own) / max(nearest, own))
    found = measures.grouping(B, labels)
    assert found["knn_accuracy"] == pytest.approx(right / n)
    assert found["silhouette"] == pytest.approx(sum(widths) / n)


def test_grouping_does_not_let_an_item_vote_for_itself() -> None:
    # Twelve exact copies of each of two rows: the nearest eleven need not hold the item itself.
    rows = np.repeat(np.array([[1.0, 2.0], [2.0, -1.0]]), 12, axis=0)
    labels = np.repeat(np.array([0, 1]), 12)
    assert measures.grouping(rows, labels)["knn_accuracy"] == 1
    # One that lies among others is taken for one of them.
    labels[0] = 1
    assert measures.grouping(rows, labels)["knn_accuracy"] == pytest.approx(23 / 24)


def test_summary_holds_all_of_them() -> None:
    B, labels = latents()
    parts = (measures.ranks(B), measures.angles(B, labels), measures.grouping(B, labels))
    assert measures.summary(B, labels) == {k: v for part in parts for k, v in part.items()}
