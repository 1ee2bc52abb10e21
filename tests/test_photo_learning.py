"""Learning `photo`: what its loss counts, that some steps learn and resume, how it freezes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakes.tiny_describer import soft_picture
from kinpack.describers.describer import Describer
from kinpack.learn.freezing.traced_graph import traced_graph
from kinpack.learn.lite.books import latent_books
from kinpack.learn.photo.networks import FITTING, LATENTS, SIDE, PhotoNetwork
from kinpack.learn.photo.training import PhotoTraining, changed_view, photo_run, taught
from kinpack.networks.container import DESCRIBER_FILE, Container

pytestmark = pytest.mark.learn


def colours(n: int) -> NDArray[np.uint8]:
    """Pictures (n, 64, 64, 3), smooth."""
    torch.manual_seed(0)
    coarse = torch.rand(n, 3, 5, 5)
    fine = nn.functional.interpolate(coarse, size=SIDE, mode="bilinear")
    made: NDArray[np.uint8] = (255 * fine).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return made


class Said(nn.Module):
    """A student that says what it was given, whatever it sees."""

    def __init__(self, latents: Tensor) -> None:
        super().__init__()
        self.latents = latents

    def forward(self, _: Tensor) -> Tensor:
        return self.latents


def test_the_loss_is_that_of_a_plain_sum() -> None:
    torch.manual_seed(1)
    views, mean = torch.rand(6, 3, SIDE, SIDE), torch.randn(LATENTS)
    wanted, said = torch.randn(2, 6, LATENTS)
    told = {k: float(v) for k, v in taught(Said(said), views, wanted, mean).items()}
    a, b = (said - mean).double().numpy(), (wanted - mean).double().numpy()
    error = sum(((x - y) ** 2).sum() for x, y in zip(a, b, strict=True)) / (b**2).sum()
    apart = 0.0
    for i, x in enumerate(a):
        cosines = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) / 0.1 for y in b]
        apart += (np.log(np.exp(cosines).sum()) - cosines[i]) / len(a)
    assert told["error"] == pytest.approx(error, rel=1e-4)
    assert told["loss"] == pytest.approx(error + 0.5 * apart, rel=1e-4)


def test_who_says_what_the_teacher_says_has_no_error() -> None:
    latents = torch.randn(9, LATENTS)
    told = taught(Said(latents), torch.rand(9, 3, SIDE, SIDE), latents, torch.zeros(LATENTS))
    assert float(told["error"]) == 0
    assert float(told["found"]) == 1


def test_half_of_the_views_are_pictures_as_they_are() -> None:
    pictures = torch.from_numpy(colours(400)).permute(0, 3, 1, 2).float() / 255
    torch.manual_seed(3)
    views = changed_view(pictures)
    assert views.shape == pictures.shape
    assert 0 <= views.min() <= views.max() <= 1
    same, mirrored = ((views == x).flatten(1).all(1) for x in (pictures, pictures.flip(3)))
    for share in (same, mirrored):
        assert 0.15 < float(share.float().mean()) < 0.35
    grey = (views == views.mean(1, keepdim=True)).flatten(1).all(1)
    assert 0.08 < float(grey.float().mean()) < 0.25


def test_training_learns_and_resumes(tmp_path: Path) -> None:
    pictures = colours(64)
    flat = torch.from_numpy(pictures[:, ::8, ::8].astype(np.float32)).flatten(1)
    torch.manual_seed(2)
    latents = (flat / 255 @ torch.randn(flat.shape[1], LATENTS)).numpy()
    training = PhotoTraining(minutes=60, batch=16)
    run = photo_run(pictures, latents, training, tmp_path)
    losses = [run.advance()["loss"] for _ in range(12)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    run.keep()
    taken_up = photo_run(pictures, latents, training, tmp_path)
    assert taken_up.step == 12
    assert taken_up.advance()["loss"] == pytest.approx(run.advance()["loss"], rel=1e-3)


def test_it_freezes_as_it_is() -> None:
    torch.manual_seed(0)
    network = PhotoNetwork().eval()
    header = {"name": "photo", "version": 1, "side": SIDE, **FITTING.to_dict()}
    rng = np.random.default_rng(0)
    arrays = latent_books(rng.normal(size=(600, LATENTS)).astype(np.float32))
    blobs = {"network": traced_graph(network, side=SIDE)}
    describer = Describer.from_container(Container(header, blobs, arrays, kind=DESCRIBER_FILE))
    pictures = [soft_picture(seed) for seed in range(3)]
    cells = np.stack([FITTING.cells(picture, SIDE) for picture in pictures])
    with torch.inference_mode():
        wanted = network(torch.from_numpy(cells.transpose(0, 3, 1, 2) / 255)).numpy()
    off = describer.latents(pictures) - wanted
    assert np.square(off).mean() < 0.01 * np.square(wanted - wanted.mean(0)).mean() + 1e-6
    assert describer.code_bytes == 8
    assert describer.finer().code_bytes == 32
