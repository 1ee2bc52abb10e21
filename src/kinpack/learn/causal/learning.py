"""What a codec learns to code pixel by pixel: grey images, and alpha planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.causal.causal_image import MOST_PIXELS, make_causal_test
from kinpack.codec.codec import Codec
from kinpack.errors import CodecError
from kinpack.learn.causal.causal_training import CausalConfig, train_causal
from kinpack.learn.causal.restoration import train_restoration
from kinpack.learn.freezing.classic_rule import extended
from kinpack.learn.models.config import TrainingConfig
from kinpack.learn.training.loop import Budget, Log

STEP_AT_50 = 22.8
"""Δ at quality 50 in grey levels: that of the block transform, for three equal colours."""
RESTORATION_SHARE = 0.4
"""Share of the time for grey images that their restoration gets."""


@dataclass(frozen=True)
class CausalPlan:
    """How long is learned, and where the runs are kept.

    Attributes:
        training: minutes, or steps, for grey images or for alpha planes; seed and qualities.
        folder: of the checkpoints.
        hidden: numbers of the networks' hidden layers; more predict better, and decode slower.
        log: as `kinpack.learn.training.loop.Budget` has it.
    """

    training: TrainingConfig
    folder: Path
    hidden: int = 64
    log: Log | None = None

    def of(self, name: str, share: float) -> Budget:
        """Budget of one of its runs."""
        steps = self.training.steps
        return Budget(
            checkpoint=self.folder / f"{name}.ckpt",
            minutes=self.training.minutes * share,
            steps=None if steps is None else max(1, round(share * steps)),
            seed=self.training.seed,
            warm_up=100,
            log=self.log,
        )


def grey_steps() -> NDArray[np.int32]:
    """Δ of each quality 0 to 100, in grey levels: (101,)."""
    steps = STEP_AT_50 * np.exp2((50 - np.arange(101)) / 16)
    return np.rint(steps).clip(1, 255).astype(np.int32)


def with_grey(codec: Codec, images: Sequence[NDArray[np.uint8]], plan: CausalPlan) -> Codec:
    """A codec that codes grey images pixel by pixel, too.

    Args:
        codec: a learned one.
        images: uint8 (H, W, 1) each, to learn from.
        plan: how long.
    """
    fitting = [image for image in images if image.shape[0] * image.shape[1] <= MOST_PIXELS]
    if not fitting:
        raise CodecError("there is no grey picture small enough to be coded pixel by pixel")
    planes = [image[:, :, 0] for image in fitting]
    steps = grey_steps()
    served = np.unique(steps[plan.training.quality_low : plan.training.quality_high + 1]).astype(
        np.int64
    )
    model = train_causal(
        planes,
        steps=served,
        config=CausalConfig(hidden=plan.hidden),
        budget=plan.of("grey", 1 - RESTORATION_SHARE),
    )
    restoration = train_restoration(
        planes, steps=served, budget=plan.of("restoration", RESTORATION_SHARE)
    )
    stored, own = restoration.to_parts("restoration")
    networks = {**codec.header["integer_networks"], "restoration": stored}
    arrays = {**model.to_arrays("grey"), **own, "causal_steps": steps}
    untested = extended(codec, {"integer_networks": networks}, arrays)
    # What the test packets decode to is what plain arithmetic makes of them.
    images_coder = untested.parts.untested_causal(engine="numpy")
    if images_coder is None:
        raise CodecError("a codec's causal part is not there that has just been made; a bug")
    return extended(untested, {"causal_test": make_causal_test(images_coder)})


def with_alpha(codec: Codec, planes: Sequence[NDArray[np.uint8]], plan: CausalPlan) -> Codec:
    """A codec that codes alpha planes pixel by pixel, too.

    Args:
        codec: a learned one.
        planes: uint8 (H, W) each, to learn from.
        plan: how long.
    """
    fitting = [plane for plane in planes if plane.size <= MOST_PIXELS]
    if not fitting:
        raise CodecError("there is no alpha plane small enough to be coded pixel by pixel")
    model = train_causal(
        fitting,
        steps=np.array([1]),
        config=CausalConfig(hidden=plan.hidden, places=False),
        budget=plan.of("alpha", 1.0),
    )
    return extended(codec, {}, model.to_arrays("alpha"))
