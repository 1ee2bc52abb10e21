"""PQ-VAE's quantiser: its choice of words, its losses and gradients, and its three updates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from kinpack.errors import CodecError
from kinpack.learn.models.vector_quantiser import FLOOR, UPDATES, QuantiserConfig, VectorQuantiser

pytestmark = pytest.mark.learn

SHAPES = [(1, 1, 1, 1, 1), (6, 1, 3, 5, 2), (9, 4, 2, 16, 3), (20, 2, 1, 7, 2)]
"""Items, positions N, books M, words K, dimensions d of a word."""


def quantiser(M: int, K: int, d: int, **settings: Any) -> VectorQuantiser:
    """Make a quantiser in float64 whose words are random and set."""
    torch.manual_seed(0)
    made = VectorQuantiser(QuantiserConfig(M=M, K=K, d=d, **settings)).double()
    with torch.no_grad():
        made.words.copy_(torch.randn(M, K, d))
        made.sums.copy_(made.words)
        made.use.fill_(1 / K)
        made.started.fill_(True)
    return made


def latents(n: int, N: int, D: int, *, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, N, D, generator=generator, dtype=torch.float64)


def chosen_by_a_loop(z: Tensor, made: VectorQuantiser) -> list[list[list[int]]]:
    """Indices [item][position][book], by the definition."""
    c, words = made.config, made.words.tolist()
    log_prior = made.log_prior().tolist()
    found: list[list[list[int]]] = []
    for item in z.tolist():
        found.append([])
        for vector in item:
            found[-1].append([])
            for m in range(c.M):
                part = vector[m * c.d : (m + 1) * c.d]
                costs = [
                    sum((a - b) ** 2 for a, b in zip(part, word, strict=True))
                    - c.epsilon * log_prior[m][k]
                    for k, word in enumerate(words[m])
                ]
                found[-1][-1].append(costs.index(min(costs)))
    return found


@pytest.mark.parametrize(("n", "N", "M", "K", "d"), SHAPES)
def test_words_losses_and_bits_against_plain_loops(n: int, N: int, M: int, K: int, d: int) -> None:
    made = quantiser(M, K, d, lam=0.3, beta=0.7, epsilon=0.4, prior="learned").eval()
    torch.manual_seed(5)
    use = torch.rand(M, K, dtype=torch.float64) + 0.01
    made.use.copy_(use / use.sum(1, keepdim=True))
    z = latents(n, N, M * d)
    out = made(z)
    expected = chosen_by_a_loop(z, made)
    assert out.indices.tolist() == expected
    assert made.indices(z[0]).tolist() == expected[0]
    distance = bits = 0.0
    for i in range(n):
        for p in range(N):
            for m, k in enumerate(expected[i][p]):
                part, word = z[i, p, m * d : (m + 1) * d], made.words[m, k]
                assert torch.equal(out.z_q[i, p, m * d : (m + 1) * d], word)
                distance += sum((float(a) - float(b)) ** 2 for a, b in zip(part, word, strict=True))
                r = (float(made.use[m, k]) + FLOOR / K) / (1 + FLOOR)
                bits -= math.log2(r)
    assert float(out.codebook) == pytest.approx(distance / n, rel=1e-9)
    assert float(out.commitment) == pytest.approx(distance / n, rel=1e-9)
    assert float(out.loss) == pytest.approx(0.3 * (1 + 0.7) * distance / n, rel=1e-9)
    assert float(out.cross_entropy) == pytest.approx(bits / n, rel=1e-9, abs=1e-9)
    assert torch.equal(out.z_q, made.decode(out.indices))


def test_a_uniform_prior_costs_log_k_and_changes_no_choice() -> None:
    plain, priced = quantiser(3, 8, 2), quantiser(3, 8, 2, epsilon=5.0)
    z = latents(11, 2, 6)
    assert torch.equal(plain(z).indices, priced(z).indices)
    assert float(priced.eval()(z).cross_entropy) == pytest.approx(2 * 3 * 3)
    assert plain.config.bits == 9


def test_epsilon_trades_distance_for_rate() -> None:
    z = latents(400, 1, 4)
    rates, distances = [], []
    for epsilon in (0.0, 0.1, 1.0, 10.0):
        made = quantiser(2, 16, 2, epsilon=epsilon, prior="learned").eval()
        use = torch.linspace(1, 16, 16, dtype=torch.float64).square().expand(2, 16)
        made.use.copy_(use / use.sum(1, keepdim=True))
        out = made(z)
        rates.append(float(out.cross_entropy))
        distances.append(float(out.codebook))
    # The law of Lagrange: a larger ε never gives a larger rate, nor a smaller distance.
    assert rates == sorted(rates, reverse=True)
    assert distances == sorted(distances)
    assert rates[0] > rates[-1]


@pytest.mark.parametrize("update", UPDATES)
def test_each_loss_moves_what_it_should(update: str) -> None:
    made = quantiser(2, 5, 3, lam=0.2, beta=0.6, update=update).eval()
    z = latents(7, 2, 6).requires_grad_()
    weight = latents(7, 2, 6, seed=2)
    out = made(z)
    parameters = [z, *made.parameters()]
    # −log q(x|z_q) reaches the encoder as if there were no quantiser, and the words never.
    grads = torch.autograd.grad(
        (out.z_q * weight).sum(), parameters, retain_graph=True, allow_unused=True
    )
    assert torch.equal(grads[0], weight)
    assert all(g is None for g in grads[1:])
    (pull,) = torch.autograd.grad(out.commitment, z, retain_graph=True)
    assert torch.allclose(pull, 2 * (z - out.z_q).detach() / 7)
    (whole,) = torch.autograd.grad(out.loss, z, retain_graph=True)
    assert torch.allclose(whole, 0.2 * 0.6 * pull)
    assert len(list(made.parameters())) == (1 if update == "gradient" else 0)
    if update == "gradient":
        (moved,) = torch.autograd.grad(out.loss, made.words)
        expected = torch.zeros_like(made.words)
        for i in range(7):
            for p in range(2):
                for m, k in enumerate(out.indices[i, p].tolist()):
                    part = z[i, p, m * 3 : m * 3 + 3].detach()
                    expected[m, k] += 0.2 * 2 * (made.words[m, k].detach() - part) / 7
        assert torch.allclose(moved, expected)
    else:
        assert not out.codebook.requires_grad


@pytest.mark.parametrize("update", ["mean", "average"])
@pytest.mark.parametrize(("n", "N", "M", "K", "d"), SHAPES)
def test_updates_against_plain_loops(n: int, N: int, M: int, K: int, d: int, update: str) -> None:
    made = quantiser(M, K, d, update=update, decay=0.9, dead_below=0.0).train()
    words = made.words.numpy().copy()
    counts, sums, use = np.ones((M, K)), words.copy(), np.full((M, K), 1 / K)
    for step in range(3):
        z = latents(n, N, M * d, seed=10 + step)
        expected = chosen_by_a_loop(z, made)
        out = made(z)
        assert out.indices.tolist() == expected
        for m in range(M):
            members: list[list[Any]] = [[] for _ in range(K)]
            for i in range(n):
                for p in range(N):
                    members[expected[i][p][m]].append(z[i, p, m * d : (m + 1) * d].numpy())
            for k, found in enumerate(members):
                use[m, k] = 0.9 * use[m, k] + 0.1 * len(found) / (n * N)
                if update == "mean":
                    if found:
                        words[m, k] = sum(found) / len(found)
                    continue
                counts[m, k] = 0.9 * counts[m, k] + 0.1 * len(found) * K / (n * N)
                total = sum(found) if found else np.zeros(d)
                sums[m, k] = 0.9 * sums[m, k] + 0.1 * total * K / (n * N)
                words[m, k] = sums[m, k] / counts[m, k]
        np.testing.assert_allclose(made.words.numpy(), words, atol=1e-9)
        np.testing.assert_allclose(made.use.numpy(), use, atol=1e-9)
    entropy = -(use * np.log(np.maximum(use, 1e-9))).sum(1)
    np.testing.assert_allclose(made.perplexity().numpy(), np.exp(entropy), rtol=1e-9)


def test_words_learn_by_gradient_of_the_codebook_term() -> None:
    made = quantiser(1, 4, 2, update="gradient").train()
    z = latents(200, 1, 2)
    first = float(made(z).codebook.detach())
    for _ in range(100):
        (slope,) = torch.autograd.grad(made(z).loss, made.words)
        with torch.no_grad():
            made.words -= 0.2 * slope
    out = made.eval()(z)
    assert float(out.codebook.detach()) < first
    # At the optimum each word is the mean of what it stands for.
    for k in range(4):
        of_word = z[out.indices[:, 0, 0] == k, 0]
        assert torch.allclose(of_word.mean(0), made.words[0, k].detach(), atol=0.05)


def test_dead_words_revive_with_their_averages() -> None:
    made = quantiser(2, 4, 3, update="average").train()
    made.words[1, 2] = 1e3
    made.sums[1, 2] = 1e3 * made.config.dead_below
    made.counts[1, 2] = made.config.dead_below
    z = latents(9, 1, 6)
    made(z)
    assert float(made.counts[1, 2]) == 1
    assert any(torch.equal(made.words[1, 2], row) for row in z[:, 0, 3:])
    assert torch.equal(made.sums[1, 2], made.words[1, 2])
    made(z)
    assert float(made.words[1, 2].abs().max()) < 10


def test_words_that_the_rate_kills_stay_dead() -> None:
    made = quantiser(1, 8, 2, update="average", epsilon=50.0, prior="learned", decay=0.5).train()
    for step in range(60):
        made(latents(64, 1, 2, seed=step))
    assert int((made.use > 0.01).sum()) == 1
    assert float(made.perplexity()) == pytest.approx(1.0, abs=0.01)
    assert float(made.usage()) == pytest.approx(1 / 8)
    assert torch.isfinite(made.words).all()


@pytest.mark.parametrize("update", UPDATES)
def test_words_start_on_latents(update: str) -> None:
    torch.manual_seed(0)
    made = VectorQuantiser(QuantiserConfig(M=2, K=16, d=2, update=update))
    before = made.words.clone()
    made.eval()(100 + latents(30, 1, 4))
    assert torch.equal(made.words, before)
    made.train()(100 + latents(30, 1, 4))
    assert float(made.words.detach().min()) > 90
    few = VectorQuantiser(QuantiserConfig(M=2, K=16, d=2, update=update))
    few.start(latents(3, 1, 4))
    assert len(torch.unique(few.words[0], dim=0)) == 16
    other = VectorQuantiser(QuantiserConfig(M=1, K=8, d=2))
    drawn = latents(8, 1, 2).float()
    other.start(drawn, torch.Generator().manual_seed(3))
    assert len(set(other.indices(drawn).flatten().tolist())) == 8


def test_bfloat16_outside_chooses_no_other_words() -> None:
    made = quantiser(2, 64, 4).float().eval()
    z = latents(50, 2, 8).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = made(z)
    assert torch.equal(inside.indices, made(z).indices)
    assert inside.loss.dtype == torch.float32


def test_books_of_positions_are_those_of_the_flattened_codes() -> None:
    made = quantiser(3, 4, 2)
    z = latents(5, 4, 6)
    codes = made.indices(z).flatten(1)
    books = made.books(4)
    assert books.shape == (12, 4, 2)
    joined = torch.stack([books[torch.arange(12), row].flatten() for row in codes])
    assert torch.equal(joined, made.decode(made.indices(z)).flatten(1))


def test_settings_that_do_not_do_are_refused() -> None:
    config = QuantiserConfig(M=2, K=4, d=3, update="average", prior="learned", epsilon=0.5)
    assert QuantiserConfig.from_dict(config.to_dict()) == config
    for wrong in ({"K": 0}, {"update": "best"}, {"prior": "flat"}, {"lam": -1.0}, {"decay": 1.0}):
        with pytest.raises(CodecError):
            QuantiserConfig(**wrong)
    with pytest.raises(CodecError, match="no field k"):
        QuantiserConfig.from_dict({"k": 3})
