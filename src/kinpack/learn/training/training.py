"""Training of a learned codec: its loss over all qualities at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from kinpack.codec.packets.target import lam
from kinpack.learn.models.config import NetworkConfig, TrainingConfig
from kinpack.learn.models.model import CodecModel, pictures_of
from kinpack.learn.models.networks import start_from_components
from kinpack.learn.models.precision import reduced_precision
from kinpack.learn.training.loop import Budget, Log, TrainingRun
from kinpack.learn.training.losses import alignment_loss
from kinpack.learn.training.patches import PatchSampler
from kinpack.learn.training.warm_start import take_over

CHECKPOINT = "last.ckpt"
HELD_STEPS = 800
"""Steps for which a warm start with new context networks leaves all else as it is."""
_BALANCE = 0.36


def budget_of(training: TrainingConfig, folder: Path, *, log: Log | None, log_every: int) -> Budget:
    """Budget of a run whose checkpoint is kept in a folder; no average is, on the wall's clock."""
    return Budget(
        checkpoint=folder / CHECKPOINT,
        minutes=training.minutes,
        steps=training.steps,
        learning_rate=training.learning_rate,
        decay_from=training.decay_from,
        keep_every=training.checkpoint_every,
        log=log,
        log_every=log_every,
    )


def train(
    sampler: PatchSampler,
    *,
    network: NetworkConfig,
    training: TrainingConfig,
    folder: Path,
    start: Mapping[str, Tensor] | None = None,
    threads: int | None = None,
    log_line: Log | None = None,
    log_every: int = 100,
) -> CodecModel:
    """Train a codec, taking up the checkpoint in ``folder`` where there is one.

    A run whose budget is spent goes on when it is given a larger one.

    Args:
        sampler: source of the patches.
        network: sizes of the networks.
        training: budget, seed and weights.
        folder: where the checkpoint ``last.ckpt`` is kept.
        start: weights to begin with, of a model of the same sizes or of fewer latents; a checkpoint
            goes before them.
        threads: of the arithmetic; None leaves the machine's default.
        log_line: called with the means over the last ``log_every`` steps (fewer after a restart).
        log_every: steps between log lines.

    Returns:
        The trained model, in evaluation mode.

    Raises:
        CodecError: the checkpoint is damaged, or of networks of other sizes.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(training.seed)
    model = CodecModel(network, beta=training.commitment)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    budget = budget_of(training, folder, log=log_line, log_every=log_every)
    held = 0
    if not budget.checkpoint.exists():
        picture = pictures_of(sampler.batch(0, size=2048)[0]).contiguous()
        start_from_components(model.analysis, model.synthesis, picture, gain=network.gain)
        if start is not None and not take_over(model, start):
            held = HELD_STEPS
    # Untrained context networks would pull the transforms away from what they know.
    context = list(model.context.parameters())
    known = {id(parameter) for parameter in context}
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    run = TrainingRun(
        model,
        lambda step: codec_losses(model, sampler, step, training),
        budget,
        groups=[{"params": context}, {"params": others, "held": held}],
        sizes=network.to_dict(),
        notes={"training": training.to_dict()},
    )
    run.finish()
    return model


def codec_losses(
    model: CodecModel, sampler: PatchSampler, step: int, training: TrainingConfig
) -> dict[str, Tensor]:
    """Losses of the batch that belongs to the number of a step.

    ``loss``, of an image at quality q, is bits a pixel + lam(q) · MSE (8-bit scale), with the
    product quantiser's terms, the picture drawn from the code alone and, with labels, sMIC's
    alignment. ``bpp``, ``mse``, ``code``, ``vq`` and ``perplexity`` are for the log.
    """
    # The noise too depends on the step alone, so that a resumed run repeats an unbroken one.
    torch.manual_seed(training.seed * 1_000_003 + step)
    patches, labels = sampler.batch(step, size=training.batch)
    picture = pictures_of(patches)
    quality = drawn_qualities(len(picture), training.quality_low, training.quality_high)
    with reduced_precision():
        out = model(picture, quality)
    mse = 255**2 * (out.picture - picture).square().mean((1, 2, 3))
    bpp = out.bits / picture[0, 0].numel()
    small = torch.nn.functional.adaptive_avg_pool2d(picture, 16)
    code_error = 10 * (out.code_picture - small).square().mean()
    loss = balanced(bpp, mse, quality)
    loss = loss + training.quantiser_weight * out.quantiser_loss
    loss = loss + training.code_weight * code_error
    if training.alignment:
        loss = loss + training.alignment * alignment_loss(out.z, torch.from_numpy(labels))
    return {
        "loss": loss,
        "bpp": bpp.mean(),
        "mse": mse.mean(),
        "code": code_error,
        "vq": out.quantiser_loss,
        "perplexity": model.product.perplexity().mean(),
    }


def drawn_qualities(n: int, low: int, high: int) -> Tensor:
    """Draw a quality for each of n pictures, uniformly, both ends among them: (n,) float32."""
    return torch.randint(low, high + 1, (n,)).float()


def balanced(bpp: Tensor, error: Tensor, quality: Tensor) -> Tensor:
    """Mean of rate and weighted error over pictures of several qualities.

    Rate and error both grow with quality; a power of the Lagrange weight evens out what each
    quality contributes to the gradient.

    Args:
        bpp: (n,) bits a pixel.
        error: (n,) mean squared error on the 8-bit scale.
        quality: (n,) whole numbers, 0 to 100.
    """
    weight = torch.tensor([lam(int(q)) for q in quality])
    loss: Tensor = ((bpp + weight * error) * (torch.tensor(lam(50)) / weight) ** _BALANCE).mean()
    return loss
