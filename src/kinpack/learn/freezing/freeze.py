"""Freezing: a trained model becomes a codec file that needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinpack.codec.codec import Codec
from kinpack.codec.learned.latent_format import LatentFormat
from kinpack.codec.learned.self_test import make_test
from kinpack.codec.learned.symbol_choice import SymbolChoice
from kinpack.entropy.tables import FrequencyTables
from kinpack.learn.freezing.classic_rule import with_rule
from kinpack.learn.freezing.integer_networks import (
    ACTIVATION,
    Floats,
    integer_network,
    quantised_chain,
)
from kinpack.learn.freezing.integer_synthesis import integer_synthesis
from kinpack.learn.freezing.onnx_graph import float_graph
from kinpack.learn.freezing.scales import (
    BINS_PER_OCTAVE,
    CALIBRATION_QUALITIES,
    LIMIT,
    TABLE_ROUNDS,
    UNIT,
    by_quality,
    deviations,
    error_bits,
    watched,
)
from kinpack.learn.freezing.tables import gaussian_tables, refit_tables
from kinpack.learn.models.model import CodecModel, pictures_of, quality_plane, reduced_to_32
from kinpack.networks.container import Container
from kinpack.networks.integer_layers import IntegerLayers

SYNTHESIS_PATCHES = 256
"""Patches whose latents, at each of these qualities, the synthesis is calibrated with."""
SENSITIVITY_PATCHES = 64
"""Patches on which the effect of errors in latents is measured."""
RULE_PATCHES = 160
"""Most pictures on which classic payloads are tried, to predict where they may win."""


def freeze(
    model: CodecModel,
    patches: NDArray[np.uint8],
    *,
    description: Mapping[str, Any],
    calibrate_rule: bool = True,
) -> Codec:
    """Turn a trained model into a codec.

    Context networks and synthesis become integer networks, calibrated on the patches; the frequency
    tables are then learned from the symbols that the frozen codec itself produces on them.

    Args:
        model: trained model.
        patches: uint8 (n, 3, s, s), s a multiple of 32: for calibration and for the tables.
        description: plain values for the header (name, data, seed, …).
        calibrate_rule: whether the rule of when to try classic payloads is calibrated, on the
            patches; else they are always tried, until `with_rule` gives the codec one.

    Returns:
        The codec.

    Raises:
        CodecError: a bound of exact arithmetic does not hold.
    """
    model = model.eval()
    config = model.config
    latent = LatentFormat(
        channels=config.latent,
        unit=UNIT,
        limit=LIMIT,
        gain=config.gain,
        steps=tuple((s.start, s.stop, s.parity) for s in config.steps),
    )
    code_context, code_unit = _code_context(model)
    first = gaussian_tables(deviations())
    choice = SymbolChoice(
        tables=first,
        count=len(first),
        **by_quality(),
        error_bits=error_bits(
            model, [patches[:SENSITIVITY_PATCHES]], lambda picture: picture / 3**0.5
        ),
        limit=LIMIT,
    )
    arrays: dict[str, NDArray[Any]] = {
        "codebooks": model.product.words.detach().numpy().astype(np.float32),
        "code_context": code_context,
    }
    blobs = {
        "analysis": float_graph(
            model.analysis, inputs=["n", 4, "h", "w"], outputs=["n", config.latent, "i", "j"]
        ),
        "code": float_graph(
            model.code_network, inputs=["n", 3, 32, 32], outputs=["n", config.M * config.code_dim]
        ),
    }
    stored = {}
    for name, layers in _integer_networks(model, patches, code_unit).items():
        stored[name], some = layers.to_parts(name)
        arrays.update(some)
    header = {
        **description,
        "sort": "learned",
        "latent": latent.to_dict(),
        "integer_networks": stored,
    }

    def build(tables: FrequencyTables, **more: Any) -> Codec:
        stored = arrays | replace(choice, tables=tables).to_arrays()
        return Codec.from_container(Container({**header, **more}, blobs, stored))

    coder = build(first).parts.untested_coder()
    codes = model.product.indices(_descriptors(model, patches)).numpy().astype(np.uint8)
    pictures = np.ascontiguousarray(patches.transpose(0, 2, 3, 1))
    # What the encoder chooses depends on the tables, and they on what it chooses.
    tables = first
    for _ in range(TABLE_ROUNDS):
        seen = [
            coder.latents.symbols(coder.analyse(pictures, q), codes, quality=np.full(len(codes), q))
            for q in CALIBRATION_QUALITIES
        ]
        symbols, contexts = (np.concatenate(part) for part in zip(*seen, strict=True))
        tables = refit_tables(first, deviations(), symbols, contexts)
        coder = build(tables).parts.untested_coder()
    # What the test packets decode to is what plain arithmetic makes of them.
    test = make_test(build(tables).parts.untested_learned(engine="numpy"))
    codec = build(tables, test=test)
    if calibrate_rule:
        tried = pictures[: rule_patches(len(pictures))]
        codec = with_rule(codec, [np.ascontiguousarray(picture) for picture in tried])
    codec.learned_coder()
    return codec


def rule_patches(calibration: int) -> int:
    """Pictures on which classic payloads are tried where a codec is frozen with so many."""
    return min(RULE_PATCHES, max(1, calibration // 4))


def _integer_networks(
    model: CodecModel, patches: NDArray[np.uint8], code_unit: Floats
) -> dict[str, IntegerLayers]:
    config = model.config
    contexts, latents = _seen(model, patches)
    latent_unit = np.concatenate([np.full(config.latent, 1 / (UNIT * config.gain)), [1 / 20]])
    made = {"synthesis": integer_synthesis(model.synthesis, latents, input_unit=latent_unit)}
    for index, layers in enumerate(_context_networks(model, contexts, code_unit)):
        made[f"context{index}"] = layers
    return made


@torch.no_grad()
def _descriptors(model: CodecModel, patches: NDArray[np.uint8]) -> Tensor:
    return model.descriptor(reduced_to_32(pictures_of(patches)))


@torch.no_grad()
def _code_context(model: CodecModel) -> tuple[NDArray[np.int16], Floats]:
    """What each word adds to the context, bias included.

    Returns:
        (M, K, E) integers, and the real value (E,) of one unit of each channel: the finest at which
        no code's sum leaves ±255.
    """
    config = model.config
    weight = model.code_context.weight.view(-1, config.M, config.code_dim)
    sums = torch.einsum("emd,mkd->mke", weight, model.product.words)
    parts: Floats = (sums + model.code_context.bias / config.M).double().numpy()
    reach: Floats = np.abs(parts).max(1).sum(0)
    # Rounding takes up to half a unit of each book.
    unit = np.maximum(reach, 1e-9) / (ACTIVATION - config.M / 2)
    return np.rint(parts / unit).astype(np.int16), unit


@torch.no_grad()
def _context_networks(
    model: CodecModel, inputs: Sequence[Tensor], code_unit: Floats
) -> list[IntegerLayers]:
    made: list[IntegerLayers] = []
    for step, network, seen in zip(model.config.steps, model.context, inputs, strict=True):
        # The integers that come in: latents in units, the code in its units, quality − 50.
        planes: Floats = np.concatenate([np.full(step.stop, 1 / (8 * UNIT)), code_unit, [1 / 20]])
        reach = seen.abs().amax((0, 2, 3)).double().numpy() / planes
        shift = np.maximum(0, np.ceil(np.log2(np.maximum(reach, 1) / ACTIVATION))).astype(np.int64)
        input_unit = planes * np.exp2(shift.astype(np.float64))
        channels = step.stop - step.start
        last = np.concatenate(
            [np.full(channels, 1 / (8 * UNIT)), np.full(channels, 1 / BINS_PER_OCTAVE)]
        )
        convolutions = [layer for layer in network.children() if isinstance(layer, nn.Conv2d)]
        layers = quantised_chain(convolutions, seen, input_unit, last, LIMIT)
        made.append(integer_network(layers, input_shift=shift))
    return made


@torch.no_grad()
def _seen(
    model: CodecModel, patches: NDArray[np.uint8]
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """What each context network, and the synthesis at each of the calibration's qualities, sees."""
    latents = []
    picture = pictures_of(patches)
    e = model.code_context(
        model.product.decode(model.product.indices(_descriptors(model, patches)))
    )
    with watched(list(model.context)) as seen:
        for q in CALIBRATION_QUALITIES:
            quality = torch.full((len(patches),), float(q))
            y_hat, _ = model.code(model.latent(picture, quality), e, quality)
            plane = quality_plane(quality, y_hat.shape[2], y_hat.shape[3])
            latents.append(torch.cat([y_hat / model.config.gain, plane], 1)[:SYNTHESIS_PATCHES])
    return [torch.cat(store) for store in seen], latents
