"""Learning `look`: what is so by construction, and that a few steps learn and resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kinpack.learn.look.books import look_books
from kinpack.learn.look.networks import FORM, TONE, FormModel, FormNetwork, LookNetwork
from kinpack.learn.look.placeholder import learn_placeholder
from kinpack.learn.look.training import LookTraining, found_again, look_run
from kinpack.learn.look.views import changed_view, clean_view


def soft_luma(n: int, seed: int = 0) -> torch.Tensor:
    """Luma (n, 1, 64, 64), 0.2 to 0.6, smooth."""
    torch.manual_seed(seed)
    coarse = torch.rand(n, 1, 6, 6)
    return 0.2 + 0.4 * torch.nn.functional.interpolate(coarse, size=64, mode="bilinear")


def test_form_ignores_brightness_and_contrast_by_construction() -> None:
    torch.manual_seed(0)
    network = FormNetwork().eval()
    luma = clean_view(soft_luma(8))
    with torch.no_grad():
        form = network(luma)
        assert form.shape == (8, FORM)
        assert torch.linalg.vector_norm(form, dim=1).numpy() == pytest.approx(np.ones(8), abs=1e-5)
        for changed in (luma + 0.3, 1.5 * luma, 0.1 + 0.8 * luma):
            assert (network(changed) * form).sum(1).min() > 0.99


def test_tone_is_the_mean_colours_of_sixteen_parts() -> None:
    network = LookNetwork(FormNetwork()).eval()
    picture = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        made = network(picture)
    assert made.shape == (2, FORM + TONE)
    parts = torch.nn.functional.avg_pool2d(picture, 8).flatten(1)
    assert made[:, FORM:].numpy() == pytest.approx(parts.numpy(), abs=1e-5)


def test_views_are_pictures_and_repeat_with_the_seed() -> None:
    luma = soft_luma(40)
    views = []
    for _ in range(2):
        torch.manual_seed(5)
        views.append(changed_view(luma))
    assert views[0].shape == (40, 1, 32, 32)
    assert 0 <= views[0].min() <= views[0].max() <= 1
    assert torch.equal(views[0], views[1])
    assert (views[0] - clean_view(luma)).abs().mean() > 0.02


def test_training_learns_and_resumes(tmp_path: Path) -> None:
    luma = (255 * soft_luma(64)[:, 0]).to(torch.uint8).numpy()
    training = LookTraining(minutes=60, batch=32, learning_rate=3e-3)
    run = look_run(luma, training, tmp_path)
    losses = [run.advance()["loss"] for _ in range(25)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    run.keep()
    taken_up = look_run(luma, training, tmp_path)
    assert taken_up.step == 25
    assert taken_up.advance()["loss"] == pytest.approx(run.advance()["loss"], rel=1e-4)


def test_a_view_of_its_own_is_found() -> None:
    torch.manual_seed(0)
    told = found_again(FormModel(), soft_luma(16))
    assert float(told["loss"].detach()) > 0
    assert 0 <= float(told["found"]) <= 1


def test_books_weigh_form_and_keep_tone() -> None:
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(600, FORM + TONE)).astype(np.float32)
    arrays = look_books(latents)
    assert arrays["weights"].tolist() == [1] * 13 + [0] * 3
    assert arrays["codebooks"].shape[:2] == (16, 16)
    assert arrays["fine_codebooks"].shape[:2] == (32, 256)
    form_only, tone_only = latents.copy(), latents.copy()
    form_only[:, FORM:], tone_only[:, :FORM] = 0, 0
    projection = arrays["projection"]
    assert not (form_only @ projection)[:, 52:].any()
    assert not (tone_only @ projection)[:, :52].any()
    assert not (tone_only @ arrays["fine_projection"]).any()


def test_a_placeholder_learns_what_words_tell() -> None:
    rng = np.random.default_rng(0)
    words = rng.normal(size=(64, 8)).astype(np.float32)
    pictures = np.clip(0.5 + 0.2 * words[:, :3], 0, 1)[:, :, None, None].repeat(16, 2).repeat(16, 3)
    network = learn_placeholder(words, pictures, steps=200)
    with torch.no_grad():
        drawn = network(torch.from_numpy(words)).numpy()
    assert np.square(drawn - pictures).mean() < 0.2 * pictures.var()
