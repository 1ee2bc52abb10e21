"""Warm starts: what a model has learned goes into one of the same sizes, or of more latents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from kinpack.errors import CodecError
from kinpack.learn.models.config import NetworkConfig, Step, TrainingConfig
from kinpack.learn.models.model import CodecModel
from kinpack.learn.training.patches import PatchSampler
from kinpack.learn.training.start_file import read_start, shipped_start, start_of
from kinpack.learn.training.training import HELD_STEPS, train
from kinpack.learn.training.warm_start import take_over
from tests.tiny_codec import NETWORK, patches, picture, tiny_model

pytestmark = pytest.mark.learn

WIDER = replace(
    NETWORK, latent=40, deep=NETWORK.deep, steps=(Step(0, 6, 0), Step(0, 6, 1), Step(6, 40, -1))
)


def test_the_same_sizes_take_over_everything() -> None:
    trained, fresh = tiny_model(), CodecModel(NETWORK)
    assert take_over(fresh, trained.state_dict())
    for (name, a), b in zip(trained.state_dict().items(), fresh.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@torch.no_grad()
def test_more_latents_draw_the_same_and_what_was_missing() -> None:
    trained, wider = tiny_model(), CodecModel(WIDER)
    assert not take_over(wider, trained.state_dict())
    x = torch.from_numpy(patches(3)).float() / 255 - 0.5
    quality = torch.tensor([40.0, 50.0, 60.0])
    y, more = trained.latent(x, quality), wider.latent(x, quality)
    assert torch.allclose(more[:, :24], y, atol=1e-4)
    # Without the further latents the picture is what it was.
    drawn = trained.draw(y, quality)
    bare = torch.cat([y, torch.zeros_like(more[:, 24:])], 1)
    assert torch.allclose(wider.draw(bare, quality), drawn, atol=1e-4)
    # They carry block components that the trained ones leave out, and those alone.
    used = wider.analysis.linear.weight[:24, :3].reshape(24, -1)
    added = wider.analysis.linear.weight[24:, :3].reshape(16, -1)
    assert float((used @ added.T).abs().max()) < 1e-4
    change = wider.draw(more, quality) - wider.draw(bare, quality)
    assert float(change.abs().max()) > 0.01


def test_other_shapes_are_refused() -> None:
    other = CodecModel(replace(NETWORK, mid=9))
    with pytest.raises(CodecError, match="another shape of"):
        take_over(other, tiny_model().state_dict())
    state = tiny_model().state_dict()
    del state["analysis.last.bias"]
    with pytest.raises(CodecError, match="lacks analysis"):
        take_over(CodecModel(NETWORK), state)


@pytest.mark.slow
def test_new_context_networks_learn_alone_at_first(tmp_path: Path) -> None:
    """Until they know something, all else stays as it is."""
    sampler = PatchSampler([picture(40, 40, i) for i in range(8)])
    trained = tiny_model()
    model = train(
        sampler,
        network=WIDER,
        training=TrainingConfig(steps=3, batch=8),
        folder=tmp_path,
        start=trained.state_dict(),
        threads=1,
    )
    assert HELD_STEPS > 3
    before = CodecModel(WIDER)
    take_over(before, trained.state_dict())
    assert torch.equal(model.synthesis.last.weight, before.synthesis.last.weight)
    assert torch.equal(model.analysis.linear.weight, before.analysis.linear.weight)
    unlike = train(
        sampler,
        network=NETWORK,
        training=TrainingConfig(steps=3, batch=8),
        folder=tmp_path / "same",
        start=trained.state_dict(),
        threads=1,
    )
    assert not torch.equal(unlike.analysis.linear.weight, trained.analysis.linear.weight)


def test_start_files_come_back_and_damage_is_told() -> None:
    data = start_of(tiny_model(), NETWORK.to_dict(), codec_id="ab" * 32).to_bytes()
    found = read_start(data, where="x.kins")
    assert NetworkConfig.from_dict(found.network) == NETWORK
    assert found.codec_id == "ab" * 32
    for name, value in tiny_model().state_dict().items():
        assert found.state[name].dtype == value.dtype
        assert torch.allclose(found.state[name].float(), value.float(), rtol=1e-3, atol=1e-6)
    rng = np.random.default_rng(0)
    for place in rng.integers(len(data), size=20).tolist():
        broken = bytearray(data)
        broken[place] ^= 1
        with pytest.raises(CodecError, match=r"x\.kins"):
            read_start(bytes(broken), where="x.kins")


def test_the_shipped_start_is_that_of_the_shipped_codec() -> None:
    from kinpack.codec.codec import Codec

    assert shipped_start("default").codec_id == Codec.load("default").codec_id
    start = shipped_start("checkerboard")
    assert take_over(CodecModel(NetworkConfig.from_dict(start.network)), start.state)
