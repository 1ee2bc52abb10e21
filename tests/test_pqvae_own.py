"""Our own codes: training with labels, neighbours as views, and the stages, by their laws."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from kinpack.errors import KinpackError
from papers.datasets import LabelledPictures
from papers.pqvae import own, own_plan
from papers.pqvae.augmentations import Views
from papers.pqvae.backbone import BackboneConfig
from papers.pqvae.backbone_training import BackboneTraining, Run, contrast, descriptors
from papers.pqvae.class_training import ClassRun, ClassTraining, _moved, _triangle, load_pooled
from papers.pqvae.heads import HeadConfig
from papers.pqvae.outcomes import read_result
from papers.pqvae.own_plan import LOSSES, METHODS, OwnPlan
from papers.pqvae.pooled_network import PooledConfig, PooledNetwork

pytestmark = pytest.mark.learn

SMALL = PooledConfig(widths=(8, 8, 16))
TINY_BACKBONE = BackboneConfig(widths=(8, 8, 16), filters=6)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def coloured(n: int, seed: int = 0) -> LabelledPictures:
    """Pictures of ten classes, a colour each, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 10)
    colours = np.random.default_rng(7).uniform(0, 255, (10, 1, 1, 3))
    pixels = colours[labels] + rng.normal(0, 20, (n, 32, 32, 3))
    return LabelledPictures(pixels.clip(0, 255).astype(np.uint8), labels.astype(np.int64), 32, 32)


# --- training with labels -------------------------------------------------------------------------


def test_moves_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((40, 3, 6, 5)).astype(np.float32)
    moves = rng.integers(0, 5, (2, 40))
    found = _moved(torch.from_numpy(x), torch.from_numpy(moves), 2).numpy()
    wide = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    for i, (down, right) in enumerate(moves.T):
        assert np.array_equal(found[i], wide[i, :, down : down + 6, right : right + 5])


def test_the_rate_rises_and_falls_as_the_recipe_says() -> None:
    assert _triangle(0) == pytest.approx(0.2)
    assert _triangle(0.23) == pytest.approx(1)
    assert _triangle(1) == pytest.approx(0.07)
    assert _triangle(0.115) == pytest.approx(0.6)


def test_the_first_layer_whitens() -> None:
    x = torch.from_numpy(coloured(40).pixels).permute(0, 3, 1, 2).float() / 255
    network = PooledNetwork(SMALL)
    network.start_from(x)
    y = network.whiten(network._measured(x))[:, :12].permute(1, 0, 2, 3).reshape(12, -1).double()
    moments = (y @ y.T / y.shape[1]).detach().numpy()
    np.testing.assert_allclose(moments, np.eye(12), atol=0.05)


def test_a_picture_is_mirrored_in_every_second_pass(tmp_path: Path) -> None:
    pictures = coloured(20)
    config = ClassTraining(network=SMALL, batch=20, epochs=2, moved=0)
    run = ClassRun(config, pictures.pixels, pictures.labels, tmp_path / "run.pt")
    shown = []
    run.network.register_forward_pre_hook(lambda module, args: shown.append(args[0].clone()))
    run.advance()
    whole = torch.from_numpy(pictures.pixels).permute(0, 3, 1, 2).float() / 255
    for x in whole:
        as_it_is = sum(int((seen == x).all((1, 2, 3)).any()) for seen in shown)
        mirrored = sum(int((seen == x.flip(2)).all((1, 2, 3)).any()) for seen in shown)
        assert (as_it_is, mirrored) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("alignment", [0.0, 0.5])
def test_a_resumed_run_is_the_unbroken_one_and_learns(tmp_path: Path, alignment: float) -> None:
    pictures = coloured(200)
    config = ClassTraining(network=SMALL, batch=40, epochs=3, alignment=alignment)

    def run(name: str) -> ClassRun:
        return ClassRun(config, pictures.pixels, pictures.labels, tmp_path / name)

    whole = run("whole.pt")
    assert whole.steps == 15
    assert whole.advance()
    broken = run("broken.pt")
    while broken.step < 7:
        broken.advance(minutes=0)  # one step at a time
    resumed = run("broken.pt")
    assert resumed.step == 7
    assert resumed.advance()
    a, b = whole.network.state_dict(), resumed.network.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    h = descriptors(load_pooled(tmp_path / "whole.pt"), pictures.pixels)
    h -= h.mean(0)
    same = pictures.labels[:, None] == pictures.labels
    assert (h @ h.T)[same].mean() > 2 * abs((h @ h.T)[~same].mean())


def test_weights_end_at_their_running_mean(tmp_path: Path) -> None:
    pictures = coloured(40)
    config = ClassTraining(network=SMALL, batch=20, epochs=3)
    run = ClassRun(config, pictures.pixels, pictures.labels, tmp_path / "run.pt")
    run.advance()
    for name, value in run._state().items():
        assert torch.equal(run._mean[name], value)


def test_settings_come_back_and_wrong_ones_are_refused() -> None:
    config = ClassTraining(network=SMALL, epochs=2.5, alignment=0.1)
    assert ClassTraining.from_dict(config.to_dict()) == config
    with pytest.raises(KinpackError):
        ClassTraining(epochs=0)
    with pytest.raises(KinpackError):
        PooledConfig(widths=(0, 1, 1))


# --- training without labels ----------------------------------------------------------------------


def test_decoupled_contrast_against_a_plain_loop() -> None:
    generator = torch.Generator().manual_seed(3)
    drawn = torch.randn(2, 5, 4, dtype=torch.float64, generator=generator)
    a, b = torch.nn.functional.normalize(drawn, dim=2)
    rows = [*a.tolist(), *b.tolist()]
    total = 0.0
    for i, x in enumerate(rows):
        alike = [sum(p * q for p, q in zip(x, y, strict=True)) / 0.3 for y in rows]
        partner = (i + 5) % 10
        others = [alike[j] for j in range(10) if j not in (i, partner)]
        total += math.log(sum(map(math.exp, others))) - alike[partner]
    found = float(contrast(a, b, temperature=0.3, decoupled=True))
    assert found == pytest.approx(total / 10, abs=1e-9)


def test_views_have_the_side_that_is_asked_for() -> None:
    x = torch.rand(4, 3, 32, 32)
    assert Views(side=24).draw(x, generator=torch.Generator().manual_seed(0)).shape[2:] == (24, 24)


def test_neighbours_are_partners_once_their_time_has_come(tmp_path: Path) -> None:
    pictures = coloured(100)
    config = BackboneTraining(
        backbone=TINY_BACKBONE, batch=50, epochs=4, neighbours=3, neighbours_after=1
    )
    run = Run(config, pictures.pixels, pictures.labels, tmp_path / "run.pt")
    index = torch.arange(50)
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(run._partners(index, generator), index)
    run.advance(epoch=1)
    assert run.epoch == 1
    partners = run._partners(index, generator)
    other = partners != index
    assert 10 < int(other.sum()) < 40
    near = run._found_near()
    assert all(partners[i] in near[i] for i in torch.nonzero(other)[:, 0])
    # The neighbours are part of what a stopped run goes on from.
    run.advance(epoch=2)
    resumed = Run(config, pictures.pixels, pictures.labels, tmp_path / "run.pt")
    assert resumed._near is not None
    assert run._near is not None
    assert torch.equal(resumed._near, run._near)


# --- stages ---------------------------------------------------------------------------------------

TINY = OwnPlan(
    contrast=BackboneTraining(
        backbone=TINY_BACKBONE, views=Views(side=24), batch=64, epochs=2, neighbours_after=1
    ),
    classes=ClassTraining(network=SMALL, batch=64, epochs=4),
    trial=ClassTraining(network=SMALL, batch=64, epochs=3),
    views=1,
    candidates={
        m: tuple(HeadConfig(LOSSES[m], d=4, hidden=32, steps=steps, batch=64) for steps in (1, 60))
        for m in METHODS
    },
    bits=(32, 48),
    seeds=(0, 1),
    measured_every=1,
)


class Sides:
    """Train and test pictures, whose test labels can be taken away."""

    def __call__(self) -> tuple[LabelledPictures, LabelledPictures]:
        return coloured(300, seed=1), coloured(40, seed=2)


@pytest.mark.slow
def test_stages_train_choose_measure_and_are_not_done_twice(tmp_path: Path) -> None:
    place = own.Own(TINY, Sides(), tmp_path / "runs", tmp_path / "results", protocol="A-quick")
    assert own.train_networks(place, quiet=True) == 3
    assert own.train_heads(place, quiet=True) == 12
    assert own.evaluate_heads(place, quiet=True) == 12
    assert own.train_networks(place, quiet=True) == 0
    assert own.train_heads(place, quiet=True) == 0
    assert own.evaluate_heads(place, quiet=True) == 0
    told = read_result(place.told(own.CONTRAST))
    assert [seen["epoch"] for seen in told["held_out"]] == pytest.approx([1, 2], abs=0.3)
    assert read_result(place.told(own.TRIAL))["pictures"] == 150
    rows = own.rows(place)
    assert [(r["method"], r["bits"]) for r in rows] == [(m, b) for m in METHODS for b in (32, 48)]
    for row in rows:
        assert row["labels"] == (row["method"] != own_plan.UNLABELLED)
        assert row["N"] * row["M"] * math.log2(row["K"]) == row["bits"]
        assert row["seeds"] == 2
        # A tenth is what chance finds; colours are easily told apart.
        assert row["map_at_1000"] > 25
    tried = read_result(place.choice(own_plan.CLASSIFIED))["candidates"]
    best = max(tried, key=lambda found: found["map_at_1000"])
    assert own.chosen(place, own_plan.CLASSIFIED) == HeadConfig(**best["head"])


@pytest.mark.slow
def test_the_page_holds_the_numbers_of_the_result_files() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "papers.pqvae.tables", "--check"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
