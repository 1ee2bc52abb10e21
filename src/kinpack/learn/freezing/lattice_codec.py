"""Freezing a codec with a lattice: a trained model becomes a codec file that needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from kinpack.codec.codec import Codec
from kinpack.codec.learned.self_test import make_test
from kinpack.learn.freezing.byte_synthesis import byte_synthesis
from kinpack.learn.freezing.lattice_freeze import Patches, frozen_coder
from kinpack.learn.freezing.onnx_graph import float_graph
from kinpack.learn.freezing.scales import CALIBRATION_QUALITIES, UNIT
from kinpack.learn.lattice.model import LatticeModel
from kinpack.learn.models.model import pictures_of, quality_plane
from kinpack.networks.byte_layers import ByteLayers
from kinpack.networks.container import Container


def freeze_lattice(
    model: LatticeModel,
    patches: Patches,
    *,
    description: Mapping[str, Any],
) -> Codec:
    """Turn a trained model into a codec.

    Args:
        model: trained.
        patches: to calibrate with; of several sides, so that all levels of the lattice occur.
        description: plain values for the header (name, data, seed, …).

    Returns:
        The codec; classic payloads are always tried beside its own, until it is given a rule.

    Raises:
        CodecError: a network leaves exact arithmetic.
    """
    config = model.eval().config
    coder = frozen_coder(model, patches)
    synthesis, stored = byte_synthesis_of(model, patches).to_parts("synthesis")
    header: dict[str, Any] = {
        **description,
        "sort": "learned",
        "lattice": coder.latent.to_dict(),
        "byte_networks": {"synthesis": synthesis},
    }
    blobs = {
        "analysis": float_graph(
            model.analysis, inputs=["n", 4, "h", "w"], outputs=["n", config.latent, "i", "j"]
        )
    }
    arrays = stored | coder.to_arrays()

    def build(**more: Any) -> Codec:
        return Codec.from_container(Container({**header, **more}, blobs, arrays))

    # What the test packets decode to is what plain arithmetic makes of them.
    test = make_test(build().parts.untested_learned(engine="numpy"))
    codec = build(test=test)
    codec.learned_coder()
    return codec


@torch.no_grad()
def byte_synthesis_of(model: LatticeModel, patches: Patches) -> ByteLayers:
    """Synthesis of a model in bytes, calibrated on patches: see `byte_synthesis`."""
    config, seen = model.config, []
    for batch in patches:
        picture = pictures_of(batch)
        for q in CALIBRATION_QUALITIES:
            quality = torch.full((len(batch),), float(q))
            y_hat = model(picture, quality).y_hat
            plane = quality_plane(quality, y_hat.shape[2], y_hat.shape[3])
            seen.append(torch.cat([y_hat / config.gain, plane], 1))
    unit = np.append(np.full(config.latent, 1 / (UNIT * config.gain)), 1 / 20)
    return byte_synthesis(model.synthesis, seen, input_unit=unit)
