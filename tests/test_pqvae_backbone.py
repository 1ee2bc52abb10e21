"""Our own codes: the backbone, its views and training, and the heads, by their laws."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from kinpack.errors import KinpackError
from papers.pqvae.augmentations import Views
from papers.pqvae.backbone import Backbone, BackboneConfig
from papers.pqvae.backbone_training import (
    BackboneTraining,
    Run,
    contrast,
    descriptors,
    load_backbone,
)
from papers.pqvae.heads import HeadConfig, cross_quantised, nearest_pictures, train_head

pytestmark = pytest.mark.learn

SMALL = BackboneConfig(widths=(8, 8, 16), filters=6)


def pictures(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (n, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    return (coarse + rng.normal(0, 10, coarse.shape)).clip(0, 255).astype(np.uint8)


def unit(n: int, d: int, seed: int) -> Tensor:
    z = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(z, dim=1)


def test_contrast_against_a_plain_loop() -> None:
    a, b = unit(5, 3, 1), unit(5, 3, 2)
    rows = [*a.tolist(), *b.tolist()]
    total = 0.0
    for i, x in enumerate(rows):
        partner = (i + 5) % 10
        terms = {
            j: math.exp(sum(p * q for p, q in zip(x, y, strict=True)) / 0.3)
            for j, y in enumerate(rows)
            if j != i
        }
        total -= math.log(terms[partner] / sum(terms.values()))
    assert float(contrast(a, b, temperature=0.3)) == pytest.approx(total / 10, abs=1e-9)


def test_cross_quantised_contrast_against_a_plain_loop() -> None:
    z, z_q = unit(6, 4, 3), 2 * unit(6, 4, 4)
    total = 0.0
    for i in range(6):
        terms = [math.exp(float(z[i] @ q) / 2 / 0.2) for q in z_q]
        total -= math.log(terms[i] / sum(terms))
    assert float(cross_quantised(z, z_q, 0.2)) == pytest.approx(total / 6, abs=1e-9)


def test_views_keep_shape_and_range_and_repeat() -> None:
    x = torch.from_numpy(pictures(9)).permute(0, 3, 1, 2).float() / 255
    drawn = [Views().draw(x, generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    assert drawn[0].shape == x.shape
    assert float(drawn[0].min()) >= 0
    assert float(drawn[0].max()) <= 1
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], x, atol=0.05)


def test_a_view_that_changes_nothing_is_the_picture_or_its_mirror_image() -> None:
    x = torch.from_numpy(pictures(16)).permute(0, 3, 1, 2).float() / 255
    still = Views(least_area=1.0, jitter=0.0, grey=0.0)
    y = still.draw(x, generator=torch.Generator().manual_seed(1))
    # Even with the whole area the shape may change; where it does not, only mirroring is left.
    same = (y - x).abs().amax((1, 2, 3)) < 0.02
    mirrored = (y - x.flip(3)).abs().amax((1, 2, 3)) < 0.02
    assert not (same & mirrored).any()
    grey = Views(jitter=0.0, grey=1.0).draw(x, generator=torch.Generator().manual_seed(1))
    assert float((grey - grey.mean(1, keepdim=True)).abs().max()) < 1e-5


def test_the_first_layer_whitens() -> None:
    torch.manual_seed(0)
    x = torch.from_numpy(pictures(64)).permute(0, 3, 1, 2).float() / 255
    backbone = Backbone(SMALL)
    backbone.start_from(x)
    y = backbone.whiten(x - 0.45)[:, :, 1:-1, 1:-1]  # places without padding
    rows = y.permute(0, 2, 3, 1).reshape(-1, 12)[:, :6].double()
    moments = (rows.T @ rows / len(rows)).numpy()
    np.testing.assert_allclose(moments, np.eye(6), atol=0.1)


def test_configurations_come_back() -> None:
    config = BackboneTraining(
        objective="alignment", backbone=SMALL, views=Views(grey=0.5), epochs=3
    )
    assert BackboneTraining.from_dict(config.to_dict()) == config
    with pytest.raises(KinpackError, match="trained by"):
        BackboneTraining(objective="luck")
    with pytest.raises(KinpackError, match="32 bits"):
        HeadConfig("classes", bits=32, M=3)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["contrast", "classes", "alignment"])
def test_a_resumed_run_is_the_unbroken_one(tmp_path: Path, objective: str) -> None:
    pixels, labels = pictures(64), np.arange(64) % 10
    config = BackboneTraining(objective=objective, backbone=SMALL, batch=16, epochs=1.5, rise=0.2)

    def run(name: str) -> Run:
        return Run(config, pixels, labels, tmp_path / name)

    torch.set_num_threads(1)
    whole = run("whole.pt")
    assert whole.steps == 6
    assert whole.advance(minutes=5)
    broken = run("broken.pt")
    while broken.step < 3:
        broken.advance(minutes=0)  # one step at a time
    assert run("broken.pt").step == broken.step
    resumed = run("broken.pt")
    assert resumed.advance(minutes=5)
    for a, b in zip(
        whole.backbone.state_dict().values(),
        resumed.backbone.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(a, b)
    h = descriptors(load_backbone(tmp_path / "whole.pt"), pixels)
    assert h.shape == (64, 16)
    np.testing.assert_allclose(np.linalg.norm(h, axis=1), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["contrast", "alignment", "classes"])
def test_heads_send_alike_pictures_to_alike_codes(loss: str) -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(400) % 4
    centres = rng.normal(size=(4, 12))
    # Three views of each picture: its class, its own part, and noise.
    own = rng.normal(0, 0.3, (400, 12))
    views = centres[labels] + own + rng.normal(0, 0.1, (3, 400, 12))
    views = (views / np.linalg.norm(views, axis=2, keepdims=True)).astype(np.float32)
    near = nearest_pictures(views[0], 5)
    assert (near != np.arange(400)[:, None]).all()
    assert (labels[near] == labels[:, None]).mean() > 0.95
    config = HeadConfig(loss, bits=8, M=2, K=16, d=4, hidden=32, steps=150, batch=64)
    head = train_head(config, views, labels=None if loss == "contrast" else labels, near=near)
    codes = head.codes(views[0])
    assert codes.shape == (400, 2)
    words = head.books()[np.arange(2), codes].reshape(400, -1)
    distance = np.square(words[:, None] - words[None]).sum(2)
    same = labels[:, None] == labels[None]
    assert distance[same].mean() < 0.5 * distance[~same].mean()


def test_a_head_with_labels_needs_them() -> None:
    with pytest.raises(KinpackError, match="needs labels"):
        train_head(HeadConfig("classes"), np.zeros((1, 8, 4), np.float32))
