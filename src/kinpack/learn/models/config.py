"""Configuration of a learned codec and of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from kinpack.errors import CodecError
from kinpack.learn.models.plain import Plain


@dataclass(frozen=True)
class Step:
    """One step of the payload's context model.

    Latents are coded step by step; each step sees all that earlier steps have decoded.

    Attributes:
        start: first latent channel of the step.
        stop: one past its last latent channel.
        parity: which positions of a checkerboard it codes: 0 those with even row + column, 1 the
            odd ones, -1 all.
    """

    start: int
    stop: int
    parity: int


DEFAULT_STEPS = (
    Step(0, 8, 0),
    Step(0, 8, 1),
    Step(8, 24, 0),
    Step(8, 24, 1),
    Step(24, 64, 0),
    Step(24, 64, 1),
    Step(64, 128, -1),
    Step(128, 192, -1),
)


CHROMA = (0.85, 0.7)
"""Weights of errors of Cb and Cr beside 1 of Y; plain RGB error has about 1.09 and 0.83."""
BLOCK_COMPONENTS = 192
"""Components of an 8×8 block of three colours: the most that the linear transform keeps."""


@dataclass(frozen=True)
class NetworkConfig(Plain):
    """Sizes of the networks.

    Attributes:
        wide: channels at a half of the picture's resolution; more draws texture better, at the
            cost of time: this level holds most of the arithmetic.
        mid: channels at a quarter of it.
        latent: channels of the latent ``y``, at an eighth, at most 192; few suffice below 36 dB.
        deep: channels of the synthesis at an eighth.
        bottleneck_wide: inner channels of the residual blocks at a half.
        bottleneck_mid: inner channels of the residual blocks at a quarter and an eighth.
        context: inner channels of the context networks; they also run when decoding.
        code_context: channels that the product code contributes to the context.
        M: books of the product code.
        K: words of each book.
        code_dim: dimensions of a word.
        steps: order in which the latents are coded.
        gain: constant factor between the analysis network's output and ``y``, so that a step of 1
            is a fair quantiser at the start of training.
        bottleneck: what quantises the product code, a name of ``bottlenecks.BOTTLENECKS``.
    """

    wide: int = 64
    mid: int = 96
    latent: int = 192
    deep: int = 128
    bottleneck_wide: int = 32
    bottleneck_mid: int = 48
    context: int = 96
    code_context: int = 32
    M: int = 16
    K: int = 16
    code_dim: int = 4
    steps: tuple[Step, ...] = DEFAULT_STEPS
    gain: float = 8.0
    bottleneck: str = "product"

    def __post_init__(self) -> None:
        if not 1 <= self.latent <= BLOCK_COMPONENTS:
            raise CodecError(
                f"{self.latent} latent channels are out of range: "
                f"an 8×8 block has {BLOCK_COMPONENTS} components"
            )
        coded = sorted(
            (channel, parity)
            for step in self.steps
            for channel in range(step.start, step.stop)
            for parity in _parities(step)
        )
        if coded != [(channel, parity) for channel in range(self.latent) for parity in (0, 1)]:
            raise CodecError(
                "the steps of a codec must code each latent channel once at each position; "
                "check `steps` against `latent`"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a configuration from ``to_dict``'s values."""
        if "steps" not in values:
            return super().from_dict(values)
        try:
            steps = tuple(Step(**step) for step in values["steps"])
        except TypeError as error:
            raise CodecError(f"the steps of a codec are unreadable ({error})") from error
        return super().from_dict({**values, "steps": steps})


@dataclass(frozen=True)
class TrainingConfig(Plain):
    """How a codec is trained.

    Attributes:
        minutes: time budget; used where ``steps`` is None.
        steps: number of optimiser steps; with it, a run repeats bit for bit on one machine.
        seed: of the initial weights, the patches, the qualities and the noise.
        batch: patches of 32×32 a step (a fourth of it where patches are 64×64).
        learning_rate: of Adam, after the warm-up; it falls to nearly 0 over the last part.
        decay_from: share of the budget after which the learning rate falls.
        quality_low: lowest quality trained; qualities are drawn uniformly.
        quality_high: highest quality trained.
        commitment: β of the product quantiser.
        quantiser_weight: λ of the product quantiser (PQ-VAE's knob on both of its terms).
        code_weight: weight of the picture drawn from the code alone.
        chroma: weights of squared errors of Cb and Cr beside 1 of Y, all on the 8-bit scale.
        structure: weight of 1 − SSIM beside those.
        average: decay a step of the moving average of the weights, which is what is used.
        alignment: weight of sMIC's d_cov between the Gram matrix of the code's descriptors and the
            same-class matrix; 0 leaves labels unused.
        checkpoint_every: steps between checkpoints.
    """

    minutes: float = 20.0
    steps: int | None = None
    seed: int = 0
    batch: int = 64
    learning_rate: float = 1e-3
    decay_from: float = 0.5
    quality_low: int = 24
    quality_high: int = 82
    commitment: float = 0.25
    quantiser_weight: float = 1.0
    code_weight: float = 1.0
    chroma: tuple[float, float] = CHROMA
    structure: float = 60.0
    average: float = 0.999
    alignment: float = 0.0
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        if self.minutes <= 0 or (self.steps is not None and self.steps < 1):
            raise CodecError("a codec cannot be learned in no time; give it minutes, or steps")
        if not 0 <= self.seed < 1 << 32:
            raise CodecError(f"seed {self.seed} is out of range: it goes from 0 to 2³² − 1")
        if not 1 <= self.quality_low <= self.quality_high <= 99:
            raise CodecError("qualities to learn go from 1 to 99, the lower one first")
        if self.batch < 4 or self.batch % 4:
            raise CodecError(f"a batch of {self.batch} cannot be cut in four; use 4, 8, 12, …")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a configuration from ``to_dict``'s values."""
        if "chroma" in values:
            values = {**values, "chroma": tuple(values["chroma"])}
        return super().from_dict(values)


def _parities(step: Step) -> tuple[int, ...]:
    return (0, 1) if step.parity < 0 else (step.parity,)
