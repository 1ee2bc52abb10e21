"""PQ-VAE: its loss and training, its codes searched by tables, its bits, and the command."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from kinpack.errors import KinpackError, SourceError  # noqa: E402
from papers.datasets import DataSet, LabelledPictures  # noqa: E402
from papers.pqvae import __main__ as command  # noqa: E402
from papers.pqvae import evaluation, measures, models, rivals, run, table, training  # noqa: E402
from papers.pqvae.models import FULL, ModelConfig, Plan  # noqa: E402
from papers.pqvae.outcomes import trend  # noqa: E402
from papers.pqvae.own_plan import METHODS  # noqa: E402
from tests.distance_tables import symmetric_tables  # noqa: E402

pytestmark = pytest.mark.learn


def pictures(n: int, *, seed: int = 0, classes: int = 2) -> LabelledPictures:
    """Make pictures of classes that differ in brightness."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    light = 60 + 90 * labels[:, None, None, None] + rng.integers(-20, 20, (n, 1, 1, 3))
    pixels = (light + rng.normal(0, 20, (n, 32, 32, 3))).clip(0, 255).astype(np.uint8)
    return LabelledPictures(pixels, labels.astype(np.int64), 32, 32)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


# --- models ---------------------------------------------------------------------------------------


def test_every_shape_has_the_bits_it_stands_for() -> None:
    for bits, shapes in models.SHAPES.items():
        assert {K for _, _, K in shapes} == {16, 256}
        for N, M, K in shapes:
            model = ModelConfig(N=N, M=M, K=K)
            assert model.bits == bits
            assert model.N * model.quantiser.bits == bits
        assert len(FULL.search(bits)) == len(shapes) * len(models.LAMBDAS)
    assert len(models.LAMBDAS) >= 3
    assert models.SLIDE_LAMBDA in models.LAMBDAS


def test_names_tell_models_apart_and_settings_come_back() -> None:
    base = ModelConfig()
    every = [m for bits in models.SHAPES for m in FULL.search(bits)]
    every += [*FULL.claims(), *FULL.updates(base), *FULL.lengths(base), *FULL.chosen(base)]
    every += [replace(base, beta=1.0), replace(base, d=4)]
    assert len({m.name for m in every}) == len(set(every))
    for model in every:
        assert ModelConfig.from_dict(json.loads(json.dumps(model.to_dict()))) == model
    for wrong in ({"N": 2}, {"K": 300}, {"M": 0}, {"part": "test"}, {"update": "x"}):
        with pytest.raises(KinpackError):
            ModelConfig(**wrong)


def test_the_search_costs_what_the_module_says() -> None:
    best = [ModelConfig(M=M) for M in (4, 6, 8)]
    searched = {m for bits in models.SHAPES for m in FULL.search(bits)}
    searched |= {m for b in best for m in (*FULL.finer(b), *FULL.updates(b), *FULL.lengths(b))}
    searched |= set(FULL.claims())
    searched |= {m for b in best for m in FULL.chosen(replace(b, epochs=FULL.long))}
    assert sum(m.epochs for m in searched) <= 300
    # 22 seconds a pass on a free core.
    assert models.cost(searched) * 22 / 3600 < 2.5


# --- network and loss -----------------------------------------------------------------------------


@pytest.mark.parametrize(("N", "channels"), [(1, 3), (4, 3), (16, 1)])
def test_network_has_n_latent_vectors(N: int, channels: int) -> None:
    model = ModelConfig(N=N, M=2, K=4)
    torch.manual_seed(0)
    network = training.network_of(model, image_channels=channels).eval()
    x = torch.rand(3, channels, 32, 32)
    z = network.encode(x)
    assert z.shape == (3, N, 2 * 2)
    y, out = network(x)
    assert out is not None
    assert y.shape == x.shape
    assert out.indices.shape == (3, N, 2)
    assert torch.equal(y, network.decode(network.quantiser.decode(network.quantiser.indices(z))))
    if N == 16:
        # Positions go row by row: what is lit at the upper right is seen there alone.
        lit = torch.zeros(1, channels, 32, 32)
        lit[:, :, :4, 28:] = 1
        change = (network.encode(lit) - network.encode(torch.zeros_like(lit))).abs().sum(2)
        assert set(change[0].nonzero()[:, 0].tolist()) == {2, 3, 6, 7}


def test_loss_is_its_formula() -> None:
    model = ModelConfig(N=4, M=2, K=8, lam=0.7, beta=0.3)
    torch.manual_seed(1)
    network = training.network_of(model).eval()
    network.quantiser.start(torch.randn(50, 4, 6))
    x = torch.rand(5, 3, 32, 32)
    with torch.no_grad():
        loss, parts = training.loss_of(network, x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z = network.encode(x)
            y, out = network(x)
    latents, drawn = z.double().numpy(), y.double().numpy()
    words = network.quantiser.words.double().numpy()
    assert out is not None
    expected = 0.0
    for i in range(5):
        likelihood = 0.5 * sum(
            (a - b) ** 2 for a, b in zip(x[i].flatten().tolist(), drawn[i].ravel(), strict=True)
        )
        distance = 0.0
        for p, m in product(range(4), range(2)):
            part = latents[i, p, 3 * m : 3 * m + 3]
            distance += min(float(np.square(part - word).sum()) for word in words[m])
        expected += (likelihood + 0.7 * (distance + 0.3 * distance)) / 5
    assert float(loss) * 3 * 32 * 32 / 2 == pytest.approx(expected, rel=1e-4)
    assert float(parts["cross_entropy"]) == pytest.approx(model.bits, rel=1e-6)


@pytest.mark.slow
def test_training_lowers_the_loss_and_repeats() -> None:
    some = pictures(256).pixels
    model = ModelConfig(N=1, M=2, K=4, epochs=1)
    network, _ = training.train(model, some)
    again, _ = training.train(model, some)
    for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    told: list[float] = []
    network, figures = training.train(replace(model, epochs=25), some, progress=told.append)
    assert told == [1.0]
    curve = figures["curve"]
    assert curve[-1]["mse"] < curve[0]["mse"]
    assert {"perplexity", "perplexity_least", "usage"} <= set(curve[0])
    assert figures["steps"] == 50
    assert not network.training


def test_weights_come_back_and_damage_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = training.network_of(ModelConfig(N=4, M=1, K=4)).eval()
    path = tmp_path / "deep" / "model.pt"
    training.save(path, network, {"minutes": 1.5})
    back, figures = training.load(path)
    assert figures == {"minutes": 1.5}
    assert back.config == network.config
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(back(x)[0], network(x)[0])
    assert [p.name for p in path.parent.iterdir()] == ["model.pt"]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match="delete it"):
        training.load(path)


# --- codes and tables -----------------------------------------------------------------------------


@pytest.mark.parametrize(("N", "M", "K"), [(1, 3, 16), (4, 2, 16), (1, 2, 200)])
def test_table_distance_is_that_of_decoded_vectors(N: int, M: int, K: int) -> None:
    torch.manual_seed(2)
    network = training.network_of(ModelConfig(N=N, M=M, K=K)).eval()
    some = pictures(40).pixels
    z = evaluation.latents_of(network, some)
    network.quantiser.start(torch.randn(500, network.config.quantiser.D) * float(z.std()))
    coder = evaluation.coder_of(network, z)
    codes = coder.codes(z)
    assert codes.shape == (40, N * M)
    assert codes.dtype == np.uint8
    decoded = coder.quantiser.decode(codes).astype(np.float64)
    own = network.quantiser.decode(torch.from_numpy(codes.astype(np.int64)).reshape(40, N, M))
    np.testing.assert_array_equal(decoded, own.flatten(1).double().numpy())
    tables = symmetric_tables(coder.quantiser)
    assert tables.shape == (N * M, K, K)
    for q, x in product(range(0, 40, 7), range(40)):
        by_table = sum(float(tables[m, codes[q, m], codes[x, m]]) for m in range(N * M))
        exact = float(np.square(decoded[q] - decoded[x]).sum())
        assert by_table == pytest.approx(exact, rel=1e-5, abs=1e-9)
    # The bottleneck of training chooses the same words, but for ties in rounding.
    chosen = network.quantiser.indices(torch.from_numpy(z).reshape(40, N, -1)).flatten(1)
    assert (codes == chosen.numpy()).mean() > 0.99


def test_plain_autoencoder_is_coded_afterwards() -> None:
    model = ModelConfig(N=1, M=2, K=4, quantised=False, epochs=2)
    some = pictures(130)
    network, figures = training.train(model, some.pixels)
    assert "codebook" not in figures
    result = evaluation.evaluate(
        model, network, figures, some, some.take(np.arange(20)), protocol="t"
    )
    assert result["map_at_1000"]["symmetric"]["all"] > 0
    assert result["usage"] > 0
    assert result["psnr_unquantised_db"] > 5


# --- what a code tells ----------------------------------------------------------------------------


def test_entropies_against_plain_loops(rng: np.random.Generator) -> None:
    N, M, K, n = 2, 3, 4, 50
    codes = rng.integers(0, K, (n, N * M)).astype(np.uint8) // 2
    r = rng.random((M, K)) + 0.1
    r /= r.sum(1, keepdims=True)
    found = measures.code_information(codes, M=M, K=K, log_prior=np.log(r))
    cross = 0.0
    for row, (p, m) in product(codes, product(range(N), range(M))):
        cross -= math.log2(r[m, row[p * M + m]]) / n

    def entropy(values: list[Any]) -> float:
        shares = [values.count(v) / len(values) for v in set(values)]
        return -sum(p * math.log2(p) for p in shares)

    each = sum(entropy(codes[:, c].tolist()) for c in range(N * M))
    joint = entropy([tuple(row) for row in codes.tolist()])
    assert found["cross_entropy_bits"] == pytest.approx(cross)
    assert found["entropy_bits"] == pytest.approx(each)
    assert found["entropy_joint_bits"] == pytest.approx(joint)
    assert found["d_ib_exact_bits"] == pytest.approx(math.log2(n) - joint)
    # H(Z) ≤ Σ H(Z_m) ≤ −H(p, r), and log K bounds the middle: the slides' upper bounds.
    assert joint <= each <= cross
    assert each <= found["uniform_bits"] == N * M * 2
    book = entropy(codes[:, 0::M].ravel().tolist())
    assert 2**book <= found["perplexity"] * M
    assert found["usage"] == pytest.approx(0.5)
    one = measures.code_information(codes[:1], M=M, K=K, log_prior=np.log(r))
    assert one["entropy_joint_bits"] == one["d_ib_exact_bits"] == 0


def test_bound_of_the_distortion_is_the_gaussian_likelihood(rng: np.random.Generator) -> None:
    x, y = rng.random((6, 10)), rng.random((6, 10))
    expected = 0.0
    for a, b in zip(x.ravel(), y.ravel(), strict=True):
        density = math.exp(-((a - b) ** 2) / 2) / math.sqrt(2 * math.pi)
        expected -= math.log2(density) / 6
    found = measures.distortion_bits(np.square(x - y).sum(axis=1), numbers=10)
    assert found["d_ib_bound_bits"] == pytest.approx(expected)


def test_neighbours_against_plain_loops(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (15, 2, 2, 3), dtype=np.uint8)
    near = measures.nearest_pictures(pixels)
    flat = pixels.reshape(15, -1).astype(int)
    distance = np.square(flat[:, None] - flat).sum(axis=2)
    for i in range(15):
        others = sorted((int(distance[i, j]), j) for j in range(15) if j != i)
        assert near[i].tolist() == [j for _, j in others[:10]]
    z = rng.normal(size=(15, 3))
    codes = (z > 0).astype(np.uint8)
    found = measures.neighbour_measures(near, codes, z, z)
    pairs = [float(np.square(z[i] - z[j]).sum()) for i in range(15) for j in near[i]]
    strangers = [
        float(np.square(z[i] - z[j]).sum()) for i in range(15) for j in range(15) if i != j
    ]
    assert found["spread"] == pytest.approx(np.mean(pairs) / np.mean(strangers))
    same = [bool((codes[i] == codes[j]).all()) for i in range(15) for j in near[i]]
    assert found["same_code"] == pytest.approx(np.mean(same))
    assert measures.separation_db(z, 0.1 * z + 0.9 * z) > 100
    assert measures.separation_db(z, np.broadcast_to(z.mean(0), z.shape)) == pytest.approx(0)


def test_trends() -> None:
    for y, rho, verdict in (
        ([1.0, 1.5, 2, 9], 1.0, "confirmed"),
        ([4.0, 3, 2, 1], -1.0, "refuted"),
        ([1.0, 2, 2, 3], math.sqrt(0.9), "confirmed"),
    ):
        found = trend([1, 2, 3, 4], y)
        assert found[0] == pytest.approx(rho)
        assert found[1] == verdict
    assert trend([1, 2, 3, 4], [1.0, 4, 0, 2])[1] == "not confirmed"
    assert trend([1, 2, 3], [5.0, 5, 5]) == (0.0, "not confirmed")
    assert trend([1, 2], [1.0, 2])[1] == "too few models to tell"


@pytest.mark.slow
def test_epsilon_lowers_the_rate_of_the_codes() -> None:
    some = pictures(300, classes=6)
    rates = []
    for epsilon in (0.0, 1e4):
        model = ModelConfig(M=1, K=16, prior="learned", epsilon=epsilon, epochs=4)
        network, figures = training.train(model, some.pixels)
        result = evaluation.evaluate(
            model, network, figures, some, some.take(np.arange(10)), protocol="t", asymmetric=False
        )
        assert result["entropy_joint_bits"] <= result["cross_entropy_bits"] + 1e-9
        rates.append(result["entropy_bits"])
    assert rates[1] < rates[0]


# --- table and command ----------------------------------------------------------------------------


def test_rows_of_others_stay_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    assert table.read(path) == []
    table.write(path, [{"method": table.FAITHFUL, "bits": 32}], [{"method": "itq", "bits": 32}])
    kept = table.read(path)
    table.write(path, [*kept, {"method": "ours-unlabelled", "bits": 32}], [])
    table.write(path, [{"method": table.FAITHFUL, "bits": 48}], [{"method": "itq", "bits": 64}])
    assert [(r["method"], r["bits"]) for r in table.read(path)] == [
        (table.FAITHFUL, 48),
        ("ours-unlabelled", 32),
        ("itq", 64),
    ]


TINY = Plan(
    {32: ((1, 8, 16),)},
    lambdas=(0.1, 0.5),
    brief=1,
    long=2,
    seeds=(0, 1),
    planar_lambdas=(0.5,),
    planar_words=(4, 25),
    epsilons=(0.0,),
    book_words=(4,),
)


def put_into_cache(folder: Path) -> None:
    """Put pictures where the command keeps those of CIFAR-10, sorted by class, and their order."""
    rng = np.random.default_rng(5)
    arrays: dict[str, Any] = {"size": np.array([32, 32])}
    order: dict[str, NDArray[np.int64]] = {}
    for part, n in (("train", 280), ("test", 20), ("toy", 4)):
        some = pictures(n, seed=n)
        sorted_places = np.argsort(some.labels, kind="stable")
        arrays[f"{part}_pixels"] = some.pixels[sorted_places]
        arrays[f"{part}_labels"] = some.labels[sorted_places]
        order[part] = rng.permutation(n)
    folder.mkdir(parents=True)
    np.savez(folder / "cifar10.npz", **arrays)
    np.savez(folder / "cifar10-order.npz", train=order["train"], test=order["test"])


@pytest.mark.slow
def test_the_command_runs_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The rivals have tests of their own.
    def one_rival(data: DataSet, folder: Path, **options: Any) -> list[dict[str, Any]]:
        assert folder == tmp_path / "runs" / "rivals"
        assert options["plan"] == rivals.QUICK
        with np.load(tmp_path / "runs" / "data" / "cifar10-order.npz") as order:
            assert np.array_equal(
                np.sort(data.train.labels), data.train.labels[np.argsort(order["train"])]
            )
        return [{**table.row_of("lsh", 32, [of_one_model]), "features": "GIST-512"}]

    of_one_model = {
        **ModelConfig(K=2, M=32).to_dict(),
        "map_at_1000": {"symmetric": {"all": 12.0}},
        "minutes": {"training": 1.0},
        "machine": {},
        "protocol": "A-quick",
    }
    monkeypatch.setattr(rivals, "run_rivals", one_rival)
    monkeypatch.setattr(models, "QUICK", TINY)
    put_into_cache(tmp_path / "runs" / "data")
    options = ["--quick", "--output", str(tmp_path), "--processes", "1", "--quiet"]
    assert command.main(["figures", *options]) == 1
    assert "train and evaluate first" in capsys.readouterr().err
    assert command.main(["all", *options]) == 0, capsys.readouterr().err
    written = [Path(line) for line in capsys.readouterr().out.split()]
    assert {p.name for p in written} >= {"claims.json", "latent_space.png", "claims.svg"}
    assert all(p.stat().st_size > 500 for p in written)
    rows = table.read(tmp_path / "results" / "table.json")
    assert [r["method"] for r in rows] == ["pqvae-faithful", *METHODS, "lsh"]
    keys = ["method", "features", "labels", "bits", "N", "M", "K", "protocol", "map_at_1000"]
    for row in rows:
        assert list(row) == [*keys, "std", "seeds", "machine", "minutes"]
        assert (row["bits"], row["protocol"]) == (32, "A-quick")
        assert row["labels"] == row["method"].startswith("ours-labelled")
    judged = json.loads((tmp_path / "results" / "claims.json").read_text())
    assert judged["held_out_labels_used"] is True
    assert {c["name"] for c in judged["claims"]} >= {"words-entropy", "bottleneck-planar"}
    # Nothing is done again, and what is deleted is done anew.
    place = run.Place(None, tmp_path / "runs", tmp_path / "results", quick=True)
    assert run.train(place, quiet=True) == 0
    assert run.evaluate(place, quiet=True) == 0
    best = run.chosen(place)[32]
    place.result(place.plan.chosen(best)[1]).unlink()
    assert run.evaluate(place, quiet=True) == 1
    kept, held = place.choosing()
    assert len(kept) + len(held) == 280
    assert run.choose(place, TINY.search(32))[0] in TINY.search(32)
