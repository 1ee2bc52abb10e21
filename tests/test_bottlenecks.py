"""The bottlenecks: product quantiser, rounding about a mean, bits under a Gaussian."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from kinpack.errors import CodecError
from kinpack.learn.freezing.freeze import freeze
from kinpack.learn.models.bottlenecks import (
    BOTTLENECKS,
    SCALE_HIGH,
    SCALE_LOW,
    ProductBottleneck,
    Quantised,
    gaussian_bits,
    inward_shift,
    quantise_about,
)
from kinpack.learn.models.model import CodecModel
from tests.tiny_codec import HEADER, NETWORK, patches, tiny_model

pytestmark = pytest.mark.learn

SHAPES = [(1, 1, 1, 1), (7, 3, 5, 2), (40, 4, 16, 4), (64, 2, 2, 1)]
"""Items, books M, words K, dimensions d of a word."""


def bottleneck(M: int, K: int, d: int, *, seed: int = 0, beta: float = 0.25) -> ProductBottleneck:
    torch.manual_seed(seed)
    made = ProductBottleneck(M=M, K=K, d=d, beta=beta)
    made.words.copy_(torch.randn(M, K, d))
    made.sums.copy_(made.words)
    made.started.fill_(True)
    return made


def vectors(n: int, D: int, *, seed: int = 1) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


def nearest(part: list[float], words: list[list[float]]) -> int:
    distances = [sum((a - b) ** 2 for a, b in zip(part, word, strict=True)) for word in words]
    return distances.index(min(distances))


@pytest.mark.parametrize(("n", "M", "K", "d"), SHAPES)
def test_nearest_word_against_a_plain_loop(n: int, M: int, K: int, d: int) -> None:
    quantiser, z = bottleneck(M, K, d).eval(), vectors(n, M * d)
    found = quantiser.indices(z)
    assert found.shape == (n, M)
    assert found.dtype == torch.int64
    words = quantiser.words.double().tolist()
    for i, row in enumerate(z.double().tolist()):
        for m in range(M):
            assert found[i, m] == nearest(row[m * d : (m + 1) * d], words[m])


@pytest.mark.parametrize(("n", "M", "K", "d"), SHAPES)
def test_decoded_indices_are_what_forward_gives(n: int, M: int, K: int, d: int) -> None:
    quantiser, z = bottleneck(M, K, d).eval(), vectors(n, M * d)
    state = {key: value.clone() for key, value in quantiser.state_dict().items()}
    out = quantiser(z)
    # To the last bit: a code turns back into the very vector that training saw.
    assert torch.equal(out.z_q, quantiser.decode(quantiser.indices(z)))
    assert torch.equal(out.indices, quantiser.indices(z))
    for i in range(n):
        joined = torch.cat([quantiser.words[m, out.indices[i, m]] for m in range(M)])
        assert torch.equal(out.z_q[i], joined)
    assert all(torch.equal(state[key], value) for key, value in quantiser.state_dict().items())


def test_gradient_passes_straight_through() -> None:
    quantiser = bottleneck(3, 4, 2, beta=0.7).eval()
    z = vectors(5, 6).requires_grad_()
    weight = vectors(5, 6, seed=2)
    out = quantiser(z)
    (through,) = torch.autograd.grad((out.z_q * weight).sum(), z, retain_graph=True)
    assert torch.equal(through, weight)
    (commitment,) = torch.autograd.grad(out.loss, z)
    expected = 2 * 0.7 * (z - out.z_q).detach() / 5
    assert torch.allclose(commitment, expected, atol=1e-6)
    plain = sum(
        0.7 * sum((a - b) ** 2 for a, b in zip(x, q, strict=True)) / 5
        for x, q in zip(z.tolist(), out.z_q.tolist(), strict=True)
    )
    assert float(out.loss.detach()) == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize(("n", "M", "K", "d"), SHAPES[1:])
def test_moving_averages_against_a_plain_loop(n: int, M: int, K: int, d: int) -> None:
    quantiser, decay = bottleneck(M, K, d).train(), 0.99
    counts, sums = quantiser.counts.double().numpy(), quantiser.sums.double().numpy()
    words = quantiser.words.double().numpy()
    for step in range(3):
        z = vectors(n, M * d, seed=10 + step)
        out = quantiser(z)
        for m in range(M):
            use, total = np.zeros(K), np.zeros((K, d))
            for row in z.double().tolist():
                part = row[m * d : (m + 1) * d]
                k = nearest(part, words[m].tolist())
                use[k] += 1
                total[k] += part
            counts[m] = decay * counts[m] + (1 - decay) * use * K / n
            sums[m] = decay * sums[m] + (1 - decay) * total * K / n
        # What was decoded are the words before they moved.
        old = torch.from_numpy(words).float()
        expected = old[torch.arange(M), out.indices].flatten(1)
        assert torch.allclose(out.z_q, expected, atol=1e-5)
        words = sums / counts[..., None]
        assert np.allclose(quantiser.counts, counts, atol=1e-5)
        assert np.allclose(quantiser.sums, sums, atol=1e-4)
        assert np.allclose(quantiser.words, words, atol=1e-4)


def test_dead_words_restart_with_their_averages() -> None:
    quantiser = bottleneck(2, 4, 3).train()
    quantiser.words[1, 2] = 1e3  # no vector is near
    quantiser.sums[1, 2] = 1e3 * quantiser.config.dead_below
    quantiser.counts[1, 2] = quantiser.config.dead_below
    z = vectors(9, 6)
    quantiser(z)
    part = z[:, 3:]
    assert quantiser.counts[1, 2] == 1
    assert any(torch.equal(quantiser.words[1, 2], row) for row in part)
    assert torch.equal(quantiser.sums[1, 2], quantiser.words[1, 2])
    others = torch.ones(2, 4, dtype=torch.bool)
    others[1, 2] = False
    assert float(quantiser.counts[others].min()) > 0.9
    # The fresh word lives on: it is neither dead nor back where it was.
    quantiser(z)
    assert float(quantiser.counts[1, 2]) > 0.9
    assert float(quantiser.words[1, 2].abs().max()) < 10


def test_all_words_come_into_use() -> None:
    torch.manual_seed(0)
    quantiser = ProductBottleneck(M=2, K=16, d=2, decay=0.9).train()
    quantiser.words.fill_(5.0)  # collapsed before the start
    for step in range(100):
        quantiser(vectors(64, 4, seed=step))
    assert float(quantiser.perplexity().min()) > 12


def test_first_batch_starts_the_words() -> None:
    torch.manual_seed(0)
    quantiser = ProductBottleneck(M=2, K=3, d=2)
    z = 100 + vectors(20, 4)
    assert not quantiser.started
    quantiser.train()(z)
    assert quantiser.started
    assert float(quantiser.words.min()) > 90
    fresh = ProductBottleneck(M=2, K=3, d=2).eval()
    before = fresh.words.clone()
    fresh(z)
    assert not fresh.started
    assert torch.equal(fresh.words, before)


def test_perplexity() -> None:
    quantiser = bottleneck(2, 4, 1)
    quantiser.counts.copy_(torch.tensor([[1.0, 1, 1, 1], [2.0, 2, 0, 0]]))
    assert quantiser.perplexity().tolist() == pytest.approx([4, 2], rel=1e-5)


def test_rounding_about_a_mean() -> None:
    y, mean = vectors(6, 5).double() * 9, vectors(6, 5, seed=3).double()
    log2_scale = vectors(6, 5, seed=5).double() * 3
    step = torch.tensor([0.25, 0.5, 1.0, 2.0, 3.7], dtype=torch.float64)
    out = quantise_about(y, mean, log2_scale, step)
    for i in range(6):
        for j in range(5):
            width = float(step[j])
            symbol = round((float(y[i, j]) - float(mean[i, j])) / width)
            low = float(inward_shift((log2_scale[i, j] - math.log2(width)).clamp(-4, 6)))
            inner = symbol - math.copysign(low, symbol) if symbol else 0
            assert float(out[i, j]) == pytest.approx(float(mean[i, j]) + inner * width, abs=1e-9)


def test_inward_shift_is_the_mean_of_a_cell_under_laplace() -> None:
    for log2_deviation in (-3.0, -1.0, 0.0, 1.5, 4.0):
        b = 2**log2_deviation / math.sqrt(2)
        x = np.linspace(1.5, 2.5, 20_001)
        density = np.exp(-(x - 1.5) / b)
        middle = float((x * density).sum() / density.sum())
        found = float(inward_shift(torch.tensor(log2_deviation, dtype=torch.float64)))
        assert found == pytest.approx(2 - middle, abs=2e-4)
        assert 0 <= found <= 0.5


def test_gradient_of_rounding() -> None:
    y = vectors(4, 3).requires_grad_()
    mean = vectors(4, 3, seed=3).requires_grad_()
    scale = vectors(4, 3, seed=5).requires_grad_()
    weight = vectors(4, 3, seed=4)
    out = (quantise_about(y, mean, scale, torch.tensor(0.5)) * weight).sum()
    through, *others = torch.autograd.grad(out, (y, mean, scale), allow_unused=True)
    assert torch.equal(through, weight)
    assert others == [None, None]


def integral(low: float, high: float, deviation: float) -> float:
    """Probability of an interval under a centred normal, by Simpson's rule."""
    n = 2000
    x = np.linspace(low, high, 2 * n + 1)
    density = np.exp(-((x / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
    weight = np.ones(2 * n + 1)
    weight[1:-1:2], weight[2:-1:2] = 4, 2
    return float((density * weight).sum() * (high - low) / (6 * n))


@pytest.mark.parametrize("step", [0.125, 1.0, 3.3])
def test_bits_against_numerical_integration(step: float) -> None:
    log2_scale = torch.linspace(-6, 8, 57, dtype=torch.float64)
    y = vectors(1, 57).double()[0] * 3
    mean = vectors(1, 57, seed=2).double()[0]
    found = gaussian_bits(y, mean, log2_scale, torch.tensor(step, dtype=torch.float64))
    for i in range(57):
        # In quantiser steps; the tables describe deviations of 2^-4 to 2^6 steps.
        relative = float(log2_scale[i]) - math.log2(step)
        deviation = 2.0 ** min(max(relative, SCALE_LOW), SCALE_HIGH)
        symbol = round((float(y[i]) - float(mean[i])) / step)
        p = max(integral(symbol - 0.5, symbol + 0.5, deviation), 1e-7)
        assert float(found[i]) == pytest.approx(-math.log2(p), rel=1e-5, abs=1e-6)


def test_bits_have_gradients() -> None:
    """For latents and means those of noise in the place of rounding, for deviations the true."""
    y, mean, scale = (vectors(1, 8, seed=i).double()[0].requires_grad_() for i in (1, 2, 3))
    step, delta = 0.7, 1e-6
    torch.manual_seed(0)
    noise = (torch.rand_like(y) - 0.5).tolist()
    torch.manual_seed(0)
    bits = gaussian_bits(y, mean, scale, torch.tensor(step, dtype=torch.float64)).sum()
    of_y, of_mean, of_scale = torch.autograd.grad(bits, (y, mean, scale))
    for i in range(8):
        deviation = 2.0 ** float(scale[i]) / step
        at = (float(y[i]) - float(mean[i])) / step
        symbol = round(at)

        def cost(centre: float, deviation: float) -> float:
            return -math.log2(integral(centre - 0.5, centre + 0.5, deviation))

        slope = cost(at + noise[i] + delta, deviation) - cost(at + noise[i] - delta, deviation)
        assert float(of_y[i]) == pytest.approx(slope / (2 * delta * step), rel=1e-3, abs=1e-6)
        assert float(of_mean[i]) == pytest.approx(-float(of_y[i]), rel=1e-9)
        wider, narrower = deviation * 2**delta, deviation * 2**-delta
        slope = cost(symbol, wider) - cost(symbol, narrower)
        assert float(of_scale[i]) == pytest.approx(slope / (2 * delta), rel=1e-3, abs=1e-5)


class FixedWords(nn.Module):
    """Names the nearest of words that never move."""

    def __init__(self, M: int, K: int, d: int, beta: float) -> None:
        super().__init__()
        self.beta = beta
        generator = torch.Generator().manual_seed(7)
        self.words: Tensor
        self.register_buffer("words", torch.randn(M, K, d, generator=generator))

    def forward(self, z: Tensor) -> Quantised:
        z = z.float()
        indices = self.indices(z.detach())
        z_q = self.decode(indices)
        loss = self.beta * (z - z_q).square().sum(1).mean()
        return Quantised(z_q + (z - z.detach()), indices, loss)

    def indices(self, z: Tensor) -> Tensor:
        M, _, d = self.words.shape
        return torch.cdist(z.view(-1, M, d).transpose(0, 1), self.words).argmin(-1).T

    def decode(self, indices: Tensor) -> Tensor:
        return self.words[torch.arange(len(self.words)), indices].flatten(1)

    def perplexity(self) -> Tensor:
        return torch.ones(len(self.words))


@pytest.mark.slow
def test_a_registered_bottleneck_is_learned_with_and_frozen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(BOTTLENECKS, "fixed", FixedWords)
    model = tiny_model(dataclasses.replace(NETWORK, bottleneck="fixed"))
    assert isinstance(model.product, FixedWords)
    expected = FixedWords(NETWORK.M, NETWORK.K, NETWORK.code_dim, 0.25).words.numpy()
    assert np.array_equal(model.product.words.numpy(), expected)  # trained, and unmoved
    codec = freeze(model, patches(8), description=HEADER)
    side = codec.parts.side_code()
    assert side is not None
    assert np.array_equal(side.quantiser.codebooks, expected)
    with pytest.raises(CodecError, match=r"'vectors'.*fixed"):
        CodecModel(dataclasses.replace(NETWORK, bottleneck="vectors"))
