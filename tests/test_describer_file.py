"""Freezing describers: the file computes what the network does, in few bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("torch")
pytest.importorskip("onnx")

import torch
from torch import Tensor, nn
from torch.nn import functional

from fakes.tiny_describer import soft_picture, tiny_describer
from kinpack.describers.describer import Describer
from kinpack.describers.describing import product_codes
from kinpack.describers.fitting import Fitting
from kinpack.errors import CodecError, SourceError
from kinpack.learn.freezing.describer_file import freeze_describer, freezing_error
from kinpack.learn.freezing.traced_graph import eight_bits, traced_graph
from kinpack.networks.container import DESCRIBER_FILE, read_container
from kinpack.networks.networks import OnnxNetwork
from papers.pqvae.backbone import Backbone, BackboneConfig
from papers.pqvae.backbone_training import BackboneTraining, descriptors
from papers.pqvae.class_training import ClassTraining
from papers.pqvae.freezing import Seer, freeze_seer, load_seer
from papers.pqvae.heads import Head, HeadConfig
from papers.pqvae.pooled_network import PooledConfig, PooledNetwork
from papers.weights import save_weights
from tests.write_tiny_describer import frozen, tiny_network

pytestmark = pytest.mark.learn

PICTURES = [soft_picture(seed, 20 + seed, 30) for seed in range(12)]


def graph_of(describer: Describer) -> Any:
    import onnx

    content = read_container(describer.to_bytes(), where="x", kind=DESCRIBER_FILE)
    return onnx.load_from_string(content.blobs["network"]).graph


def test_the_golden_file_is_still_what_freezing_gives() -> None:
    """The weights are random, and random numbers may differ between releases of torch."""
    network = tiny_network()
    describer = frozen(network)
    error = freezing_error(describer, network, PICTURES)
    assert error.largest < 1e-5
    assert error.same_words == 1
    # The golden file is older than the values that say how pictures are fitted.
    assert dict(describer.header) == {
        **tiny_describer().header,
        "fit": "squeeze",
        "enlarge": "blocks",
    }
    assert describer.to_bytes() == frozen(tiny_network()).to_bytes()


def test_eight_bits_for_all_weights_come_near() -> None:
    network = tiny_network()
    describer = frozen(network, exact_below=1)
    error = freezing_error(describer, network, PICTURES)
    assert 1e-5 < error.largest < 0.2
    assert error.root_mean_square < 0.05
    assert error.same_words > 0.8
    kinds = [weight.data_type for weight in graph_of(describer).initializer]
    assert kinds.count(3) == 5  # int8: three convolutions, two linear maps; each once


def test_norms_go_into_the_layer_before_them() -> None:
    ops = [node.op_type for node in graph_of(frozen(tiny_network())).node]
    assert "BatchNormalization" not in ops
    assert ops.count("Conv") == 6  # three for each of the two images
    # After the maximum: a factor and a summand. Elsewhere the norms are gone.
    assert ops.count("MaxPool") == 2
    assert ops.count("Gemm") == 2


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
        elements=st.floats(-100, 100, allow_subnormal=False),
    )
)
def test_eight_bits(weight: Any) -> None:
    small, scale = eight_bits(weight)
    assert small.dtype == np.int8
    assert scale.shape == (len(weight), *[1] * (weight.ndim - 1))
    assert np.abs(small).max() <= 127
    assert (scale > 0).all()
    axes = tuple(range(1, weight.ndim))
    error = ((small * scale.astype(np.float64) - weight) ** 2).sum(axis=axes)
    plain = np.abs(weight).max(axis=axes) / 127
    count = weight[0].size
    assert (error <= count * (plain / 2) ** 2 * (1 + 1e-4) + 1e-30).all()


class Picture(nn.Module):
    """Layers, then a step that ends in one vector a picture."""

    def __init__(self, step: Callable[[Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        return self.step(self.layers(x))


def convolution(**options: Any) -> nn.Conv2d:
    torch.manual_seed(3)
    return nn.Conv2d(3, 8, 3, **options)


def mean(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def shapes(x: Tensor) -> Tensor:
    split: Tensor = x.flatten(2).unflatten(2, (30, 30))  # type: ignore[no-untyped-call]
    return split


STEPS: dict[str, Picture] = {
    "strides": Picture(mean, convolution(stride=(2, 1), padding=(1, 0))),
    "dilation": Picture(mean, convolution(dilation=2)),
    "groups": Picture(mean, nn.Conv2d(3, 9, 3, groups=3), nn.Conv2d(9, 8, 1, groups=1)),
    "relu": Picture(lambda x: mean(torch.relu(functional.relu(x - 0.1).relu())), convolution()),
    "gelu": Picture(lambda x: mean(functional.gelu(x)), convolution(), nn.GELU(), nn.ReLU()),
    "maximum": Picture(
        lambda x: x.amax((2, 3), keepdim=True).flatten(1),
        convolution(),
        nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
    ),
    "arithmetic": Picture(
        lambda x: mean((1 - x / 2) * x + torch.add(x, 3.0) - x.mul(x)), convolution()
    ),
    "shapes": Picture(
        lambda x: shapes(x).amax(-1).mean(-1, keepdim=True).flatten(1),
        convolution(),
        nn.Identity(),
        nn.Dropout(),
    ),
    "mirrors": Picture(
        lambda x: (x.flip(3) - 0.5 * x.flip([2, 3]) + torch.flip(x, (2,))).flatten(2).amax(2),
        convolution(),
    ),
    "norms": Picture(
        lambda x: mean(x + 1), nn.BatchNorm2d(3), convolution(bias=False), nn.BatchNorm2d(8)
    ),
    "free norm": Picture(mean, convolution(), nn.BatchNorm2d(8, affine=False), nn.ReLU()),
    "lengths": Picture(lambda x: functional.normalize(mean(x), dim=1), convolution()),
    "bounds": Picture(
        lambda x: mean(functional.hardtanh(functional.relu6(9 * x) - 2, min_val=-1.5, max_val=3)),
        convolution(), nn.Hardtanh(-0.3, 0.2), nn.ReLU6(),
    ),
    "same": Picture(
        mean, convolution(padding="same", dilation=2), nn.Conv2d(8, 8, 5, padding="same"),
    ),
    "valid": Picture(mean, convolution(padding="valid")),
    "zeros": Picture(
        mean,
        nn.ZeroPad2d((0, 1, 2, 3)), convolution(stride=2, padding=(1, 0)),
    ),
    "linear": Picture(
        lambda x: x, nn.Flatten(), nn.Linear(3 * 32 * 32, 16), nn.BatchNorm1d(16), nn.ReLU(),
        nn.Linear(16, 8, bias=False),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_every_step_is_computed_as_torch_does(name: str) -> None:
    network = STEPS[name]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            generator = torch.Generator().manual_seed(2)
            nn.init.normal_(module.running_mean, generator=generator)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.2, 3, generator=generator)  # type: ignore[arg-type]
            if module.affine:
                nn.init.normal_(module.weight, generator=generator)
    training = network.training
    describer = freeze_describer(
        network, np.zeros((2, 4, 4), np.float32), name=name, exact_below=10**9
    )
    assert network.training == training
    z = describer.describe(PICTURES)
    assert freezing_error(describer, network, PICTURES).largest < 2e-5 * max(1, np.abs(z).max())
    assert np.ptp(z, axis=0).max() > 1e-3  # of other pictures, other numbers


class Padded(nn.Module):
    """A convolution after `functional.pad`."""

    def __init__(self, pads: tuple[int, ...], **options: Any) -> None:
        super().__init__()
        self.pads, self.options = pads, options
        self.layer = convolution()

    def forward(self, x: Tensor) -> Tensor:
        padded: Tensor = self.layer(functional.pad(x, self.pads, **self.options))
        return padded


@settings(max_examples=40, deadline=None)
@given(
    pads=st.one_of(
        st.tuples(*[st.integers(0, 3)] * 2).filter(any), st.tuples(*[st.integers(0, 3)] * 4)
    ),
    kernel=st.integers(1, 5),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    own=st.integers(0, 2),
    bounds=st.tuples(st.floats(-2, 0), st.floats(0.1, 6)),
    seed=st.integers(0, 99),
)
def test_zeros_and_bounds_of_any_size(
    pads: tuple[int, ...],
    kernel: int,
    stride: tuple[int, int],
    own: int,
    bounds: tuple[float, float],
    seed: int,
) -> None:
    torch.manual_seed(seed)
    network = Picture(mean, Padded(pads), nn.Hardtanh(*bounds))
    network.layers[0].layer = nn.Conv2d(3, 4, kernel, stride, padding=own)
    nn.init.normal_(network.layers[0].layer.weight)
    x = torch.rand(2, 3, 16, 16)
    ran = OnnxNetwork(traced_graph(network, side=16), name="network", threads=1, owner="x")
    found = ran(x.numpy(), (2, 4))
    with torch.no_grad():
        np.testing.assert_allclose(found, network(x).numpy(), atol=1e-5, rtol=1e-5)


def layer(module: nn.Module) -> nn.Module:
    return Picture(lambda x: x, convolution(), module)


UNKNOWN: dict[str, nn.Module] = {
    "Sigmoid": layer(nn.Sigmoid()),
    "BatchNorm2d": layer(nn.BatchNorm2d(8, track_running_stats=False)),
    "GELU": layer(nn.GELU(approximate="tanh")),
    "reflect": Picture(mean, convolution(padding=1, padding_mode="reflect")),
    "zeros": Picture(mean, nn.ZeroPad2d(1)),
    "zeros before a maximum": Picture(mean, nn.ZeroPad2d(1), nn.MaxPool2d(2)),
    "zeros less": Picture(mean, nn.ZeroPad2d((0, -1, 0, 0)), convolution()),
    "ones": Picture(mean, Padded((1, 1), value=1.0)),
    "edges": Picture(mean, Padded((1, 1), mode="replicate")),
    "channels": Picture(mean, Padded((0, 0, 0, 0, 0, 1))),
    "rounding": Picture(lambda x: mean(torch.div(x, 2, rounding_mode="floor")), convolution()),
    "softmax": Picture(lambda x: x.softmax(1), convolution()),
    "across pictures": Picture(lambda x: mean(x) - mean(x).mean(0, keepdim=True), convolution()),
    "power": Picture(lambda x: functional.normalize(mean(x), p=1.0, dim=1), convolution()),
    "places": Picture(lambda x: x, nn.Linear(32, 8)),
    "branch": Picture(lambda x: x if x.sum() > 0 else -x, convolution()),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_has_no_place_in_a_file_is_refused(name: str) -> None:
    with pytest.raises(CodecError, match=r"has no place in a describer file|cannot be traced") as e:
        traced_graph(UNKNOWN[name], side=32)
    assert "\n" not in str(e.value)


def test_new_describers_enlarge_smoothly_and_say_so() -> None:
    describer = freeze_describer(STEPS["relu"], np.zeros((2, 4, 4), np.float32), name="x")
    assert (describer.header["fit"], describer.header["enlarge"]) == ("squeeze", "smooth")
    boxed = Fitting(fit="letterbox", enlarge="smooth")
    other = freeze_describer(
        STEPS["relu"], np.zeros((2, 4, 4), np.float32), name="x", fitting=boxed
    )
    assert Describer.from_bytes(other.to_bytes(), where="x").fitting == boxed
    assert freezing_error(other, STEPS["relu"], [soft_picture(1, 9, 31)]).largest < 1e-4


def test_networks_that_do_not_fit_are_refused() -> None:
    books = np.zeros((2, 4, 4), np.float32)
    with pytest.raises(CodecError, match=r"not \(1, 6\)"):
        freeze_describer(STEPS["lengths"], np.zeros((2, 4, 3), np.float32), name="x")
    with pytest.raises(CodecError, match="one vector a picture"):
        freeze_describer(nn.Sequential(convolution()), books, name="x")
    with pytest.raises(CodecError, match="cannot be traced"):
        freeze_describer(nn.Linear(5, 5), books, name="x")
    with pytest.raises(CodecError, match="side"):
        freeze_describer(STEPS["relu"], books, name="x", side=1000)
    with pytest.raises(CodecError, match="one picture or more"):
        freezing_error(tiny_describer(), tiny_network(), [])


def trained(kind: str, seed: int = 0) -> Seer:
    """A small network of the experiment with a head, its norms fitted to noise."""
    torch.manual_seed(seed)
    network: PooledNetwork | Backbone = (
        PooledNetwork(PooledConfig(widths=(16, 32, 32)))
        if kind == "pooled"
        else Backbone(BackboneConfig(widths=(16, 24, 32), filters=12))
    )
    network.start_from(torch.rand(100, 3, 32, 32))
    head = Head(network.config.features, HeadConfig("classes", d=8, hidden=64))
    with torch.no_grad():
        for _ in range(3):
            head.layers(network(torch.rand(32, 3, 32, 32)))
    return Seer(network, head).eval()


@pytest.mark.parametrize("kind", ["pooled", "residual"])
def test_networks_of_the_experiment(kind: str) -> None:
    seer = trained(kind)
    describer = freeze_seer(seer, name=kind, version=3, description={"licence": "none"})
    assert (describer.name, describer.header["version"], describer.mirrored) == (kind, 3, True)
    assert (describer.quantiser.M, describer.quantiser.K, describer.code_bytes) == (4, 256, 4)
    error = freezing_error(describer, seer, PICTURES)
    assert error.largest < 0.05
    assert error.same_words > 0.9
    mirrored = [picture[:, ::-1] for picture in PICTURES]
    assert np.array_equal(describer.describe(mirrored), describer.describe(PICTURES))
    # As the experiment measures codes, of pictures that need no reduction.
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    codes = seer.head.codes(descriptors(seer.network, pixels))
    assert (product_codes(describer, list(pixels)) == codes).mean() > 0.8  # bfloat16 there


@pytest.mark.parametrize("kind", ["pooled", "residual"])
def test_checkpoints_are_read(kind: str, tmp_path: Any) -> None:
    seer = trained(kind)
    network = seer.network
    if isinstance(network, PooledNetwork):
        config = ClassTraining(network=network.config).to_dict()
        state = {"network": network.state_dict()}
    else:
        config = BackboneTraining(backbone=network.config).to_dict()  # type: ignore[arg-type]
        state = {"backbone": network.state_dict()}
    torch.save({"config": config, **state}, tmp_path / "net.pt")
    head = tmp_path / "head.pt"
    save_weights(head, seer.head, config=seer.head.config.to_dict(), figures={})
    found = load_seer(tmp_path / "net.pt", head)
    x = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(found(x), seer(x))
    for bad in (tmp_path / "none.pt", head):
        with pytest.raises(SourceError, match="name a checkpoint"):
            load_seer(bad, head)


def test_two_million_weights_fit_in_4_mb() -> None:
    torch.manual_seed(0)
    network = PooledNetwork(PooledConfig())
    nn.init.normal_(network.body[0].weight)  # type: ignore[arg-type]
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    seer = Seer(network, Head(network.config.features, HeadConfig("classes", bits=64, M=8)))
    count = sum(p.numel() for p in seer.network.parameters())
    assert count > 1_900_000
    assert freeze_seer(seer, name="large").n_bytes < 2_600_000
