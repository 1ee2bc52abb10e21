"""Evaluation of one trained model: its latent space, its true bits, and its result file."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import machine
from papers.datasets import DataSet
from papers.experiment import Progress
from papers.smic import measures
from papers.smic.bits import CODERS, STEPS, Point, deviation, measure
from papers.smic.gaussian_estimate import joint_entropy, marginal_entropy
from papers.smic.models import ModelConfig
from papers.smic.pictures import latents_of, psnr_of
from papers.variational import VariationalAutoencoder

DRAWS = (1, 2, 3)
"""Further random draws of 2,000 items, which show the spread."""
ENTROPY_STEP = 1.0
"""Relative step at which the result file's two entropies are given; all steps stand beside."""
PACKAGES = ("torch", "scikit-learn", "scipy")


def evaluate(
    config: ModelConfig,
    network: VariationalAutoencoder,
    figures: dict[str, Any],
    data_set: DataSet,
    *,
    steps: tuple[float, ...] = STEPS,
    coders: tuple[str, ...] = CODERS,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Measure a model on the toy database.

    Args:
        config: the model.
        network: trained.
        figures: of its training.
        data_set: what it was trained on.
        steps: relative quantiser steps.
        coders: names of the coders e′.
        progress: called with the share that is done.

    Returns:
        What its result file holds, and arrays for each item: ``psnr`` and ``psnr klt`` (steps, N)
        dB, and for each coder that can tell ``bits CODER`` (steps, N).
    """
    toy = data_set.toy
    B = latents_of(network, toy)
    unit = deviation(B)
    points = measure(network, B, toy, steps=steps, coders=coders, progress=progress)
    # The step of the two single figures last, so that the latents are decomposed once.
    widths = np.array([*steps, ENTROPY_STEP]) * unit
    joint, apart = joint_entropy(B, steps=widths), marginal_entropy(B, steps=widths)
    draws = []
    if len(data_set.test) > len(toy):
        for number in DRAWS:
            pictures = data_set.draw(number)
            drawn = latents_of(network, pictures)
            quality = float(psnr_of(network, drawn, pictures).mean())
            draws.append({"draw": number, "psnr_db": quality, **measures.ranks(drawn)})
    result = {
        **config.to_dict(),
        "name": config.name,
        "D": B.shape[1],
        "psnr_db": float(psnr_of(network, B, toy).mean()),
        "deviation": unit,
        **measures.summary(B, toy.labels),
        "entropy_step": ENTROPY_STEP,
        "entropy_joint_bits": float(joint[-1]),
        "entropy_sum_bits": float(apart[-1]),
        "entropies": [
            {"step": s, "joint_bits": float(j), "sum_bits": float(a)}
            for s, j, a in zip(steps, joint[:-1], apart[:-1], strict=True)
        ],
        "images": len(toy),
        "pixels": len(toy) * toy.height * toy.width,
        "bytes": {name: [p.to_dict() for p in points if p.coder == name] for name in coders},
        "draws": draws,
        "training": figures,
        "versions": {name: version(name) for name in (*machine.PACKAGES, *PACKAGES)},
        "machine": machine.processor(),
    }
    return result, _arrays(points, coders)


def _arrays(points: list[Point], coders: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    arrays = {}
    for name in coders:
        of_coder = [p for p in points if p.coder == name]
        quality = np.stack([p.psnr for p in of_coder]).astype(np.float32)
        arrays["psnr klt" if name.startswith("klt") else "psnr"] = quality
        bits = [p.item_bits for p in of_coder if p.item_bits is not None]
        if bits:
            arrays[f"bits {name}"] = np.stack(bits).astype(np.float32)
    return arrays
