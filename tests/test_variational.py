"""The reference network of sMIC: sizes, sampling, configuration."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from kinpack.errors import CodecError
from papers.variational import Posterior, VaeConfig, VariationalAutoencoder

pytestmark = pytest.mark.learn


def small(**settings: int) -> VariationalAutoencoder:
    torch.manual_seed(0)
    return VariationalAutoencoder(VaeConfig(**{"first": 4, "second": 6, "latent": 5, **settings}))


@pytest.mark.parametrize("image_channels", [1, 3])
@pytest.mark.parametrize(("latent", "dimensions"), [(16, 256), (64, 1024), (128, 2048)])
def test_dimensions_of_the_paper(latent: int, dimensions: int, image_channels: int) -> None:
    network = VariationalAutoencoder(VaeConfig(image_channels=image_channels, latent=latent))
    x = torch.rand(2, image_channels, 32, 32)
    z = network.encode(x)
    assert z.shape == (2, latent, 4, 4)
    assert z.flatten(1).shape == (2, dimensions)
    mean, log_variance = network.posterior(x)
    assert mean.shape == log_variance.shape == z.shape
    assert torch.equal(mean, z)
    assert network.decode(z).shape == x.shape
    assert torch.equal(network(x), network.decode(z))


def test_other_sizes_of_a_picture() -> None:
    network = small(image_channels=1)
    z = network.encode(torch.rand(1, 1, 8, 40))
    assert z.shape == (1, 5, 1, 5)
    assert network.decode(z).shape == (1, 1, 8, 40)


def test_layers_of_the_paper() -> None:
    network = small()
    down = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    up = [layer for layer in network.modules() if isinstance(layer, nn.ConvTranspose2d)]
    # The last convolution is there twice: for the mean, and for the variance.
    assert (len(down), len(up)) == (4, 3)
    for layer in [*down, *up]:
        assert layer.kernel_size == (4, 4)
        assert layer.stride == (2, 2)
        assert layer.padding == (1, 1)
    channels = [(layer.in_channels, layer.out_channels) for layer in [*down, *up]]
    assert channels == [(3, 4), (4, 6), (6, 5), (6, 5), (5, 6), (6, 4), (4, 3)]


def test_each_item_is_encoded_on_its_own() -> None:
    network = small()
    x = torch.rand(3, 3, 32, 32)
    together = network.encode(x)
    for i in range(3):
        assert torch.allclose(network.encode(x[i : i + 1])[0], together[i], atol=1e-6)


def test_mean_and_variance_of_samples() -> None:
    mean = torch.tensor([-2.0, 0.0, 5.0]).reshape(1, 3, 1, 1)
    log_variance = torch.tensor([-3.0, 0.0, 1.0]).reshape(1, 3, 1, 1)
    n = 40_000
    wide = Posterior(*(part.expand(n, 3, 1, 1) for part in (mean, log_variance)))
    z = wide.sample(torch.Generator().manual_seed(1)).flatten(1)
    assert z.shape == (n, 3)
    variance = log_variance.exp().flatten()
    assert ((z.mean(0) - mean.flatten()).abs() < 4 * (variance / n).sqrt()).all()
    assert ((z.var(0) / variance - 1).abs() < 4 * (2 / n) ** 0.5).all()
    correlation = torch.corrcoef(z.T)
    assert ((correlation - torch.eye(3)).abs() < 4 / n**0.5).all()


def test_samples_repeat_with_their_generator() -> None:
    posterior = Posterior(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
    draws = [posterior.sample(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_gradients_of_samples() -> None:
    mean = torch.zeros(1, 2, 1, 1, dtype=torch.float64, requires_grad=True)
    log_variance = torch.ones(1, 2, 1, 1, dtype=torch.float64, requires_grad=True)

    def draw(*parts: torch.Tensor) -> torch.Tensor:
        return Posterior(*parts).sample(torch.Generator().manual_seed(3))

    assert draw(mean, log_variance).dtype == torch.float64
    assert torch.autograd.gradcheck(draw, (mean, log_variance))


def test_one_seed_gives_one_network() -> None:
    first, second = (small().state_dict() for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(1)
    other = VariationalAutoencoder(VaeConfig(first=4, second=6, latent=5)).state_dict()
    assert not torch.equal(first["mean.weight"], other["mean.weight"])


def test_a_signal_keeps_its_strength() -> None:
    """What the initialisation is for: neither vanishing nor bursting after six layers."""
    torch.manual_seed(0)
    network = VariationalAutoencoder(VaeConfig())
    with torch.no_grad():
        x = torch.rand(8, 3, 32, 32)
        ratio = (network(x) - 0.5).std() / (x - 0.5).std()
    assert 0.1 < float(ratio) < 10


def test_configuration_round_trip() -> None:
    config = VaeConfig(image_channels=1, first=8, second=9, latent=16)
    assert VaeConfig.from_dict(config.to_dict()) == config
    assert VaeConfig.from_dict({}) == VaeConfig()
    assert small(latent=7).config.latent == 7


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"image_channels": 2}, "1 or 3 channels"),
        ({"image_channels": 4}, "1 or 3 channels"),
        ({"latent": 0}, "a channel or more"),
        ({"first": -1}, "a channel or more"),
        ({"width": 3}, "no setting 'width'"),
    ],
)
def test_configuration_refuses(settings: dict[str, int], says: str) -> None:
    with pytest.raises(CodecError, match=says):
        VaeConfig.from_dict(settings)
