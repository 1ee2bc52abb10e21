"""Learning `look`: what is so by construction, and that a few steps learn and resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kinpack.learn.look.books import look_books
from kinpack.learn.look.code import SOFTNESS, Books, LookCode, Placeholder, learn_placeholder
from kinpack.learn.look.networks import FORM, TONE, FormModel, FormNetwork, LookNetwork
from kinpack.learn.look.training import LookTraining, code_run, found_again, look_run
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


def some_code() -> LookCode:
    torch.manual_seed(0)
    colours = torch.rand(60, 3, 4, 4)
    colours = torch.nn.functional.interpolate(colours, size=32, mode="bilinear")
    return LookCode(FormNetwork().eval(), clean_view(soft_luma(60)), colours)


def test_books_weigh_form_and_keep_tone() -> None:
    code = some_code()
    rng = np.random.default_rng(0)
    arrays = look_books(code, rng.normal(size=(600, FORM)).astype(np.float32))
    assert arrays["weights"].tolist() == [1] * 12 + [0] * 4
    assert arrays["codebooks"].shape == (16, 16, 4)
    assert arrays["fine_codebooks"].shape[:2] == (32, 256)
    latents = rng.normal(size=(9, FORM + TONE)).astype(np.float32)
    form_only, tone_only = latents.copy(), latents.copy()
    form_only[:, FORM:], tone_only[:, :FORM] = 0, 0
    projection = arrays["projection"]
    assert not (form_only @ projection)[:, 48:].any()
    assert not (tone_only @ projection)[:, :48].any()
    assert not (tone_only @ arrays["fine_projection"]).any()


def test_words_are_the_nearest_and_all_words_learn() -> None:
    rng = np.random.default_rng(1)
    books = Books(rng.normal(size=(200, 20)).astype(np.float32), 3)
    kept = torch.from_numpy(rng.normal(size=(7, 12)).astype(np.float32))
    words = books(kept, SOFTNESS)
    for row, one in zip(kept.detach().numpy(), words.detach().numpy(), strict=True):
        for m, book in enumerate(books.words.detach().numpy()):
            part = row[4 * m : 4 * m + 4]
            nearest = book[((book - part) ** 2).sum(1).argmin()]
            assert one[4 * m : 4 * m + 4] == pytest.approx(nearest, abs=1e-6)
    words.square().sum().backward()
    assert books.words.grad is not None
    assert (books.words.grad != 0).all()


def test_a_code_learns_to_find_and_to_draw(tmp_path: Path) -> None:
    code = some_code()
    luma = (255 * soft_luma(64)[:, 0]).to(torch.uint8).numpy()
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (64, 1, 1, 3), np.uint8).repeat(32, 1).repeat(32, 2)
    training = LookTraining(minutes=60, batch=32, learning_rate=2e-3)
    run = code_run(code, luma, colours, training, tmp_path)
    told = [run.advance() for _ in range(40)]
    for name in ("loss", "error"):
        assert np.mean([one[name] for one in told[-5:]]) < np.mean([one[name] for one in told[:5]])
    assert 0 <= told[-1]["coded"] <= 1


def test_a_placeholder_learns_what_words_tell() -> None:
    rng = np.random.default_rng(0)
    words = rng.normal(size=(64, 64)).astype(np.float32)
    pictures = np.clip(0.5 + 0.2 * words[:, :3], 0, 1)[:, :, None, None].repeat(16, 2).repeat(16, 3)
    network = Placeholder(pictures)
    learn_placeholder(network, words, pictures, steps=150)
    with torch.no_grad():
        drawn = network(torch.from_numpy(words)).numpy()
    assert np.square(drawn - pictures).mean() < 0.2 * pictures.var()
