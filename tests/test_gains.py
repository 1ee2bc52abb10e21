"""What a learned codec gains, and where classic payloads are worth trying: as measured."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

pytest.importorskip("onnx")

from kinpack.codec.choice.classic_rule import FEATURES
from kinpack.learn import gains as gains_module
from kinpack.learn.freezing.classic_rule import KEPT, drawings, fitted_rule
from kinpack.learn.gains import Gain, Gains, measure_gains
from tests.tiny_codec import picture, tiny_codec

pytestmark = pytest.mark.learn


def test_a_codec_gains_nothing_on_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [picture(32, 32, seed) for seed in range(500, 512)]
    found = measure_gains(tiny_codec(), images, shipped=tiny_codec())
    assert found.images == 12
    assert found.codec_bytes == tiny_codec().n_bytes
    own = found.gains[0]
    assert own.bd_rate_percent == pytest.approx(0, abs=1e-6)
    assert own.pays_from is None
    assert own.more_codec_bytes == 0
    assert "it does not pay" in found.lines()[0]


def test_where_a_codec_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of 900 bytes is saved an image: a codec of 30,000 bytes more pays from 100 on."""
    rival = [(900.0 * 2**i, 28.0 + 2 * i) for i in range(-2, 3)]
    own = [(rate * 2 / 3, psnr) for rate, psnr in rival]
    curves = iter([own, rival])
    monkeypatch.setattr(gains_module, "learned_curve", lambda *_: next(curves))
    monkeypatch.setattr(gains_module, "avif_curve", lambda *_: rival)
    found = measure_gains(tiny_codec(), [picture(8, 8)], shipped=None)
    (gain,) = found.gains
    assert gain.bd_rate_percent == pytest.approx(-100 / 3, abs=0.01)
    saved = gain.bytes_per_image / 3
    assert gain.pays_from == int(np.ceil(gain.more_codec_bytes / saved)) or gain.pays_from == 1
    text = Gains(5, 30_000, (Gain("AVIF", -33.3, 900.0, 30_000, 100),)).lines()
    assert text == [
        "on 5 held-out images 33.3 % fewer bytes than AVIF at equal PSNR; "
        "its 30,000 bytes pay from 100 images on"
    ]


def test_the_rule_keeps_nearly_all_savings_and_tries_few() -> None:
    rng = np.random.default_rng(0)
    seen = np.concatenate([np.ones((2000, 1)), rng.normal(size=(2000, FEATURES - 1))], axis=1)
    gains = 2 * seen[:, 1] - seen[:, 3] - 3 + 0.3 * rng.normal(size=2000)
    # A second group saves a hundredth as much: that must not be given up for the first.
    groups = rng.random(2000) < 0.5
    gains[groups] *= 0.01
    rule = fitted_rule(seen, gains, groups=groups)
    tried = seen @ np.array(rule.weights) >= rule.threshold
    for group in (groups, ~groups):
        assert gains[tried & group].clip(0).sum() >= KEPT * gains[group].clip(0).sum()
    assert tried.mean() < 3 * (gains > 0).mean() + 0.02


def test_a_rule_where_nothing_wins_tries_nothing() -> None:
    seen = np.ones((50, FEATURES))
    groups = np.arange(50) < 20
    rule = fitted_rule(seen, -np.ones(50), groups=groups)
    assert not (seen @ np.array(rule.weights) >= rule.threshold).any()


def test_drawings_have_few_colours() -> None:
    made, again = (drawings(6, side=24, seed=3) for _ in range(2))
    assert [image.shape for image in made] == [(24, 24, 3)] * 6
    assert all(len(np.unique(image.reshape(-1, 3), axis=0)) < 200 for image in made)
    assert all((a == b).all() for a, b in zip(made, again, strict=True))
