"""Learning to code pixel by pixel: losses by plain loops, freezing, resuming, whole codecs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch

from kinpack.codec.causal.causal_coder import CausalCoder
from kinpack.codec.causal.causal_context import PLANES, Frame
from kinpack.codec.causal.logistic_mixture import level_count, levels_of, values_of
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind
from kinpack.errors import CodecError, KinpackError
from kinpack.learn.causal.causal_samples import PixelSamples
from kinpack.learn.causal.causal_training import (
    CausalConfig,
    CausalNetwork,
    frozen,
    mixture_bits,
    train_causal,
)
from kinpack.learn.causal.learning import CausalPlan, grey_steps, with_alpha, with_grey
from kinpack.learn.collection import read_collection
from kinpack.learn.learning import causal_shares
from kinpack.learn.models.config import TrainingConfig
from kinpack.learn.training.loop import Budget, TrainingRun
from kinpack.networks.container import Container, read_container
from kinpack.sources.items import Item
from tests.pictures import plane
from tests.test_causal import rgba
from tests.tiny_codec import tiny_codec

pytestmark = [pytest.mark.learn, pytest.mark.slow]  # all of them learn a network

Plane = NDArray[np.uint8]


def budget(folder: Path, steps: int, name: str = "run") -> Budget:
    return Budget(minutes=1, steps=steps, seed=3, checkpoint=folder / f"{name}.ckpt")


def plan(folder: Path, steps: int) -> CausalPlan:
    training = TrainingConfig(minutes=1, steps=steps, quality_low=30, quality_high=80)
    return CausalPlan(training, folder)


# --- samples --------------------------------------------------------------------------------------


def test_samples_are_what_the_coder_tells_the_network() -> None:
    planes = [plane(9, 13, 0), plane(6, 4, 1), plane(1, 1, 2)]
    x, values, step, weights = PixelSamples(planes).draw(
        np.random.default_rng(0), 400, np.array([1, 7, 40])
    )
    assert weights.mean() == pytest.approx(1, abs=1e-5)
    told: dict[int, set[tuple[int, ...]]] = {}
    for delta in {*step.tolist()}:
        told[delta] = set()
        for one in planes:
            height, width = one.shape
            frame = Frame(1, height, width)
            frame.values[:] = rounded = values_of(levels_of(one, delta), delta)
            inputs = frame.inputs(np.arange(height * width), step=delta)[0]
            pixels = zip(inputs.tolist(), rounded.flatten().tolist(), strict=True)
            told[delta] |= {(*row, value) for row, value in pixels}
    for row, value, delta in zip(x.tolist(), values.tolist(), step.tolist(), strict=True):
        assert (*row, min(value, 255)) in told[delta]


def test_all_flat_planes_can_be_drawn_from() -> None:
    samples = PixelSamples([np.zeros((5, 5), np.uint8)])
    x, values, _, weights = samples.draw(np.random.default_rng(0), 10, np.array([1]))
    assert len(x) == 10
    assert not values.any()
    assert (weights == 1).all()


# --- the loss -------------------------------------------------------------------------------------


def bits_by_loops(said: list[float], value: int, step: int) -> float:
    """−log2 of the probability of a cell, PixelCNN++ (2), with the loss's floor."""
    logs, means, scales = said[:3], said[3:6], said[6:]
    total = sum(math.exp(one) for one in logs)
    p = 0.0
    for log, mean, scale in zip(logs, means, scales, strict=True):
        s = 2 ** min(7.0, max(-3.0, scale))
        centre = 64 * mean + 100
        upper = (
            1.0 if value + step / 2 > 255 else 1 / (1 + math.exp(-(value + step / 2 - centre) / s))
        )
        lower = 0.0 if value <= 0 else 1 / (1 + math.exp(-(value - step / 2 - centre) / s))
        p += math.exp(log) / total * (upper - lower)
    return -math.log2(p * (1 - 1e-5) + 1e-5)


def test_bits_by_loops(rng: np.random.Generator) -> None:
    said = rng.normal(0, 1, (60, 9)) * np.repeat([1, 0.5, 2], 3) + np.repeat([0, 0, 5], 3)
    step = rng.integers(1, 60, 60)
    values = rng.integers(0, 5, 60) * step
    made = mixture_bits(torch.tensor(said), torch.tensor(values), torch.tensor(step))
    expected = [
        bits_by_loops(row.tolist(), int(v), int(d))
        for row, v, d in zip(said, values, step, strict=True)
    ]
    assert made.numpy() == pytest.approx(np.array(expected), rel=1e-9)


def test_gradient_of_the_bits() -> None:
    said = torch.tensor(np.random.default_rng(0).normal(0, 1, (5, 9)) + np.repeat([0, 0, 5], 3))
    said.requires_grad_(True)
    values, step = torch.tensor([0.0, 20, 40, 100, 260]), torch.full((5,), 20.0)
    assert torch.autograd.gradcheck(lambda x: mixture_bits(x, values, step), said)


def bits_of_counts(said: torch.Tensor, values: torch.Tensor, step: int) -> float:
    """Bits of all values under the network, with the 1 that the coder adds to each count."""
    logs = said[:, :3]
    total = 2**18 * torch.exp(logs - logs.amax(1, keepdim=True)).sum(1)
    bits = mixture_bits(said, values, torch.full((len(values),), float(step)))
    p = (torch.exp2(-bits) - 1e-5) / (1 - 1e-5)
    return float(-torch.log2((p * total + 1) / (total + level_count(step))).sum())


# --- freezing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", [False, True])
def test_integers_predict_as_the_network_does(tmp_path: Path, places: bool) -> None:
    """Real bytes are within 1 % + 3 bytes of what the float network would pay."""
    planes = [plane(20, 16, i) for i in range(40)]
    model = train_causal(
        planes,
        steps=np.array([1, 12]),
        config=CausalConfig(hidden=16, places=places),
        budget=budget(tmp_path, 40),
    )
    assert model.sees_places is places
    network = CausalNetwork(CausalConfig(hidden=16, places=places))
    state = torch.load(tmp_path / "run.ckpt", weights_only=True)["model"]
    network.load_state_dict(state)
    for step in (1, 12):
        frame = Frame(40, 20, 16)
        frame.values[:] = values_of(levels_of(np.stack(planes), step), step)
        x = torch.from_numpy(frame.inputs(np.arange(320), step=step).reshape(-1, PLANES))
        with torch.no_grad():
            said = network(x)
        values = torch.from_numpy((levels_of(np.stack(planes), step) * step).reshape(-1))
        bits = bits_of_counts(said.double(), values.double(), step)
        messages = CausalCoder(model).encode(np.stack(planes), step=step)
        assert sum(map(len, messages)) <= bits / 8 * 1.01 + 3 * 40


def test_a_resumed_run_is_an_unbroken_one(tmp_path: Path) -> None:
    def run(folder: Path, steps: list[int]) -> NDArray[np.float32]:
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 1)

        def losses(number: int) -> dict[str, torch.Tensor]:
            generator = torch.Generator().manual_seed(number)
            x = torch.randn(8, 3, generator=generator)
            return {"loss": (network(x) - x.sum(1, keepdim=True)).square().mean()}

        for many in steps:
            TrainingRun(network, losses, budget(folder, many)).finish()
        weight: NDArray[np.float32] = network.weight.detach().numpy()
        return weight

    for name in ("whole", "twice"):
        (tmp_path / name).mkdir()
    whole = run(tmp_path / "whole", [40])
    assert (run(tmp_path / "twice", [40, 40]) == whole).all()
    (tmp_path / "twice" / "run.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(CodecError, match="delete it to start anew"):
        run(tmp_path / "twice", [40])


def test_frozen_without_places_sees_none() -> None:
    network = CausalNetwork(CausalConfig(hidden=8, places=False))
    x = torch.randint(0, 256, (100, PLANES))
    model = frozen(network, x)
    assert not model.sees_places


# --- whole codecs ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawing_codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    folder = tmp_path_factory.mktemp("causal")
    planes = [plane(20, 16, i) for i in range(60)]
    codec = with_grey(tiny_codec(), [one[:, :, None] for one in planes], plan(folder, 60))
    return with_alpha(codec, [plane(20, 16, i, noise=0) for i in range(60)], plan(folder, 300))


def test_grey_images_are_coded_pixel_by_pixel_where_that_costs_least(drawing_codec: Codec) -> None:
    images = [plane(20, 16, 100 + i)[:, :, None] for i in range(6)]
    images += [plane(1, 1, 0)[:, :, None], plane(3, 40, 1)[:, :, None]]
    packets = drawing_codec.encode(images, quality=60, classic="never")
    assert Kind.CAUSAL in {packet.kind for packet in packets}
    before = tiny_codec().encode(images, quality=60, classic="never")
    for packet, other, image in zip(packets, before, images, strict=True):
        cost = drawing_codec.decode([packet])[0].shape == image.shape
        assert cost
        if packet.kind is Kind.LEARNED:
            assert packet.payload == other.payload
    # One by one, on one thread and with the other engine: the same pixels.
    drawn = drawing_codec.decode(packets, threads=2)
    numpy = Codec.from_bytes(drawing_codec.to_bytes(), where="it", engine="numpy")
    for packet, picture in zip(packets, drawn, strict=True):
        assert (drawing_codec.decode([packet], threads=1)[0] == picture).all()
        assert (numpy.decode([packet])[0] == picture).all()


def test_a_psnr_is_reached(drawing_codec: Codec) -> None:
    images = [plane(20, 16, 200 + i)[:, :, None] for i in range(4)]
    packets, psnr = drawing_codec.encode_measured(images, min_psnr=32)
    assert psnr.min() >= 32
    assert len(packets) == 4


def test_alpha_is_exact_and_never_longer(drawing_codec: Codec) -> None:
    images = [rgba(20, 16, i) for i in range(5)]
    for classic in ("never", "always"):
        packets = drawing_codec.encode(images, quality=60, classic=classic)
        before = tiny_codec().encode(images, quality=60, classic=classic)
        for packet, other, picture, image in zip(
            packets, before, drawing_codec.decode(packets), images, strict=True
        ):
            assert len(packet.payload) <= len(other.payload)
            assert (picture[:, :, 3] == image[:, :, 3]).all()
        assert sum(len(p.payload) for p in packets) < sum(len(p.payload) for p in before)
        with pytest.raises(KinpackError):
            tiny_codec().decode(packets)


def test_other_codecs_refuse_causal_packets(drawing_codec: Codec) -> None:
    images = [plane(20, 16, 300 + i)[:, :, None] for i in range(6)]
    packets = [
        p
        for p in drawing_codec.encode(images, quality=60, classic="never")
        if p.kind is Kind.CAUSAL
    ]
    assert packets
    with pytest.raises(CodecError, match="no causal payloads"):
        tiny_codec().decode(packets)
    # The last is of a fuzzed packet, which took 10 s to be drawn, pixel by pixel.
    high = {"width": 1, "height": 65_535}
    for values in ({"channels": 3}, {"quality": 100}, {"width": 300, "height": 300}, high):
        with pytest.raises(KinpackError, match="damaged"):
            drawing_codec.decode([replace(packets[0], **values)])  # type: ignore[arg-type]


@pytest.mark.parametrize("break_it", ["steps", "test", "network"])
def test_faulty_files_are_refused(drawing_codec: Codec, break_it: str) -> None:
    whole = read_container(drawing_codec.to_bytes(), where="it")
    header, arrays = dict(whole.header), dict(whole.arrays)
    if break_it == "steps":
        arrays["causal_steps"] = np.zeros(101, np.int32)
    elif break_it == "test":
        header["causal_test"] = {**header["causal_test"], "sha256": "0" * 64}
    else:
        header["integer_networks"] = dict(header["integer_networks"])
        del header["integer_networks"]["restoration"]
    codec = Codec.from_container(Container(header, whole.blobs, arrays))
    with pytest.raises(CodecError):
        codec.encode([plane(8, 8, 0)[:, :, None]], quality=50, classic="never")


def test_steps_halve_every_sixteen_qualities() -> None:
    steps = grey_steps()
    assert steps.shape == (101,)
    assert steps[50] == 23
    assert steps[34] == 46
    assert (np.diff(steps) <= 0).all()
    assert steps.min() >= 1


class Listed:
    """A source of arrays."""

    name = "listed"

    def __init__(self, images: list[Plane]) -> None:
        self._items = [Item(str(i), None, partial(np.copy, one)) for i, one in enumerate(images)]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)


def test_what_is_learned_pixel_by_pixel_depends_on_the_collection() -> None:
    grey = [plane(8, 8, i)[:, :, None] for i in range(4)]
    colour = [np.dstack([one] * 3) for one in grey]
    transparent = [rgba(8, 8, i) for i in range(25)]
    assert causal_shares(read_collection([Listed(colour)])) == {}
    assert set(causal_shares(read_collection([Listed(grey)]))) == {"grey"}
    assert set(causal_shares(read_collection([Listed([*colour, *transparent])]))) == {"alpha"}
    assert causal_shares(read_collection([Listed([*colour, *transparent[:5]])])) == {}
