"""Layers made integers: they fit exact arithmetic, and follow the real ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("onnx")

from kinpack.errors import CodecError
from kinpack.learn.freezing.integer_networks import (
    ACTIVATION,
    WEIGHT,
    least_unit,
    quantise_layer,
)
from kinpack.networks.integer_layers import EXACT

pytestmark = pytest.mark.learn


def real_layers(draw_seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(draw_seed)
    channels_in, channels_out = int(rng.integers(1, 12)), int(rng.integers(1, 8))
    k = int(rng.choice([1, 3]))
    spread = 10.0 ** rng.uniform(-4, 2, (channels_out, 1, 1, 1))
    return {
        "weight": rng.normal(size=(channels_out, channels_in, k, k)) * spread,
        "bias": rng.normal(size=channels_out) * 10.0 ** rng.uniform(-4, 3, channels_out),
        "input_unit": 10.0 ** rng.uniform(-3, 1, channels_in),
    }


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 1 << 30), largest=st.sampled_from((63, WEIGHT, 2047)))
def test_quantised_layers_fit_and_follow_the_real_ones(seed: int, largest: int) -> None:
    real = real_layers(seed)
    weight, bias, input_unit = real["weight"], real["bias"], real["input_unit"]
    rng = np.random.default_rng(seed + 1)
    output_unit = least_unit(**real) * 10.0 ** rng.uniform(0, 4, len(bias))
    if largest < WEIGHT:
        output_unit *= 2 * WEIGHT / largest
    layer = quantise_layer(
        **real, output_unit=output_unit, low=-EXACT, high=EXACT, largest_weight=largest
    )
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
    real = real_layers(seed)
    unit = least_unit(**real)
    quantise_layer(**real, output_unit=unit, low=0, high=ACTIVATION)
    for o in range(len(unit)):
        finer = unit.copy()
        finer[o] /= 2
        with pytest.raises(CodecError, match="leave exact arithmetic"):
            quantise_layer(**real, output_unit=finer, low=0, high=ACTIVATION)


def test_shifts_are_as_large_as_they_can_be() -> None:
    weight = np.array([[[[1.0]]], [[[0.3]]], [[[1e-9]]]])
    layer = quantise_layer(
        weight, np.zeros(3), input_unit=np.ones(1), output_unit=np.ones(3), low=-9, high=9
    )
    assert layer.shift.tolist() == [6, 8, 22]
    assert layer.weight.ravel().tolist() == [64, 77, 0]
    # The half that makes floor round.
    assert layer.bias.tolist() == [32, 128, 1 << 21]
