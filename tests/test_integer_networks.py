"""Layers made integers: they fit exact arithmetic, and follow the real ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("onnx")

import torch
from torch import nn

from kinpack.errors import CodecError
from kinpack.learn.freezing.integer_networks import (
    ACTIVATION,
    WEIGHT,
    Floats,
    least_unit,
    quantised,
)
from kinpack.networks.integer_layers import EXACT

pytestmark = pytest.mark.learn


def convolution(weight: Floats, bias: Floats) -> nn.Conv2d:
    outputs, inputs, k, _ = weight.shape
    made = nn.Conv2d(inputs, outputs, k).double()
    made.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
    return made


def real_layers(draw_seed: int) -> tuple[Floats, Floats, Floats]:
    """Weights, biases and units of the inputs."""
    rng = np.random.default_rng(draw_seed)
    channels_in, channels_out = int(rng.integers(1, 12)), int(rng.integers(1, 8))
    k = int(rng.choice([1, 3]))
    spread = 10.0 ** rng.uniform(-4, 2, (channels_out, 1, 1, 1))
    return (
        rng.normal(size=(channels_out, channels_in, k, k)) * spread,
        rng.normal(size=channels_out) * 10.0 ** rng.uniform(-4, 3, channels_out),
        10.0 ** rng.uniform(-3, 1, channels_in),
    )


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 1 << 30), largest=st.sampled_from((63, WEIGHT, 2047)))
def test_quantised_layers_fit_and_follow_the_real_ones(seed: int, largest: int) -> None:
    weight, bias, input_unit = real_layers(seed)
    real = convolution(weight, bias)
    rng = np.random.default_rng(seed + 1)
    output_unit = least_unit(real, input_unit=input_unit) * 10.0 ** rng.uniform(0, 4, len(bias))
    if largest < WEIGHT:
        output_unit *= 2 * WEIGHT / largest
    layer = quantised(real, input_unit, output_unit, -EXACT, EXACT, largest_weight=largest)
    assert layer.largest_sum(ACTIVATION) < EXACT
    assert layer.weight.dtype == (np.int8 if largest <= WEIGHT else np.int16)
    assert np.abs(layer.weight).max() <= largest
    assert (layer.shift >= 0).all()
    x = rng.integers(-ACTIVATION, ACTIVATION + 1, (1, weight.shape[1], 3, 3))
    k = weight.shape[2]
    window = x[0, :, :k, :k]
    for o in range(len(bias)):
        exact = float((weight[o] * window * input_unit[:, None, None]).sum() + bias[o])
        units = exact / output_unit[o]
        total = int((layer.weight[o].astype(np.int64) * window).sum() + layer.bias[o])
        found = total >> int(layer.shift[o])
        # Weights and bias are half a unit of the sum off, the result half a unit of the output.
        off = (np.abs(window).sum() + 1) / 2 / 2.0 ** int(layer.shift[o]) + 0.5
        assert abs(found - units) <= off + 1e-6 * abs(units)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1 << 30))
def test_the_least_unit_is_the_least(seed: int) -> None:
    weight, bias, input_unit = real_layers(seed)
    real = convolution(weight, bias)
    unit = least_unit(real, input_unit=input_unit)
    quantised(real, input_unit, unit, 0, ACTIVATION)
    for o in range(len(unit)):
        finer = unit.copy()
        finer[o] /= 2
        with pytest.raises(CodecError, match="leave exact arithmetic"):
            quantised(real, input_unit, finer, 0, ACTIVATION)


def test_shifts_are_as_large_as_they_can_be() -> None:
    weight = np.array([[[[1.0]]], [[[0.3]]], [[[1e-9]]]])
    layer = quantised(convolution(weight, np.zeros(3)), np.ones(1), np.ones(3), -9, 9)
    assert layer.shift.tolist() == [6, 8, 22]
    assert layer.weight.ravel().tolist() == [64, 77, 0]
    # The half that makes floor round.
    assert layer.bias.tolist() == [32, 128, 1 << 21]
