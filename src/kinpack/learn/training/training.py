"""Training of a learned codec: resumable, within a budget of minutes or steps."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from kinpack.codec.packets.quality import lam
from kinpack.errors import CodecError
from kinpack.learn.models.config import NetworkConfig, TrainingConfig
from kinpack.learn.models.model import CodecModel
from kinpack.learn.models.networks import start_from_components
from kinpack.learn.models.precision import reduced_precision
from kinpack.learn.training.losses import alignment_loss
from kinpack.learn.training.patches import PatchSampler
from kinpack.learn.training.warm_start import take_over

WARM_UP_STEPS = 200
HELD_STEPS = 800
"""Steps for which a warm start with new context networks leaves all else as it is."""
# Rate and error both grow with quality; this power of the Lagrange weight evens out what each
# quality contributes to the gradient.
_BALANCE = 0.36

Log = Callable[[dict[str, float]], None]


class Steps:
    """An endless stream of nothing: the batch of a step is drawn by its number."""

    def __iter__(self) -> Iterator[int]:
        while True:
            yield 0


class CodecTraining(lightning.LightningModule):
    """Rate–distortion training over all qualities at once.

    The loss of an image at quality q is bits a pixel + lam(q) · MSE (8-bit scale), with the product
    quantiser's terms, the picture drawn from the code alone and, with labels, sMIC's alignment.
    """

    held: Tensor

    def __init__(
        self,
        sampler: PatchSampler,
        *,
        network: NetworkConfig,
        training: TrainingConfig,
        log_line: Log | None = None,
        log_every: int = 100,
    ) -> None:
        super().__init__()
        self.sampler = sampler
        self.training_config = training
        self.model = CodecModel(network, beta=training.commitment)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.elapsed = 0.0
        self._log_line, self._log_every = log_line, log_every
        self._lam = torch.tensor([lam(q) for q in range(101)])
        self._clock = time.monotonic()
        self._sums: dict[str, float] = {}
        self._noted = 0
        self.register_buffer("held", torch.tensor(0))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; the learning rate is set before each step."""
        context = list(self.model.context.parameters())
        known = {id(parameter) for parameter in context}
        others = [p for p in self.model.parameters() if id(p) not in known]
        groups = [{"params": context}, {"params": others}]
        return torch.optim.Adam(groups, lr=self.training_config.learning_rate)

    def progress(self) -> float:
        """Share of the budget that is spent, 0 to 1."""
        return _spent(self.training_config, self.global_step, self.elapsed)

    def on_train_start(self) -> None:
        """Start the clock."""
        self._clock = time.monotonic()

    def on_train_batch_start(self, batch: int, batch_idx: int) -> None:
        """Set the learning rate: a short warm-up, a plateau, then half a cosine down."""
        config, progress = self.training_config, self.progress()
        rate = min(1.0, (self.global_step + 1) / WARM_UP_STEPS)
        if progress > config.decay_from:
            phase = (progress - config.decay_from) / (1 - config.decay_from)
            rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * phase))
        context, others = self.trainer.optimizers[0].param_groups
        context["lr"] = config.learning_rate * rate
        # Untrained context networks would pull the transforms away from what they know.
        others["lr"] = config.learning_rate * rate * (self.global_step >= int(self.held))

    def training_step(self, batch: int, batch_idx: int) -> Tensor:
        """Loss of one batch, drawn by the number of the step."""
        config, step = self.training_config, self.global_step
        # The noise too depends on the step alone, so that a resumed run repeats an unbroken one.
        torch.manual_seed(config.seed * 1_000_003 + step)
        patches, labels = self.sampler.batch(step, size=config.batch)
        picture = torch.from_numpy(patches).float() / 255 - 0.5
        picture = picture.contiguous(memory_format=torch.channels_last)
        quality = torch.randint(
            config.quality_low, config.quality_high + 1, (len(patches),)
        ).float()
        with reduced_precision():
            out = self.model(picture, quality)
        weight = self._lam[quality.long()]
        mse = 255**2 * (out.picture - picture).square().mean((1, 2, 3))
        bpp = out.bits / picture[0, 0].numel()
        balance = (self._lam[50] / weight) ** _BALANCE
        small = torch.nn.functional.adaptive_avg_pool2d(picture, 16)
        code_error = 10 * (out.code_picture - small).square().mean()
        loss: Tensor = ((bpp + weight * mse) * balance).mean()
        loss = loss + config.quantiser_weight * out.quantiser_loss + config.code_weight * code_error
        if config.alignment:
            loss = loss + config.alignment * alignment_loss(out.z, torch.from_numpy(labels))
        self._note(
            loss=loss, bpp=bpp.mean(), mse=mse.mean(), code=code_error, vq=out.quantiser_loss
        )
        return loss

    def on_train_batch_end(self, outputs: Any, batch: int, batch_idx: int) -> None:
        """Move the clock, write the log, stop at the end of the budget."""
        now = time.monotonic()
        self.elapsed += now - self._clock
        self._clock = now
        if self._log_line and self.global_step % self._log_every == 0:
            means = {key: value / self._noted for key, value in self._sums.items()}
            use = float(self.model.product.perplexity().mean())
            line = {"step": self.global_step, "seconds": self.elapsed, "perplexity": use}
            self._log_line({**line, "progress": self.progress(), **means})
            self._sums, self._noted = {}, 0
        if self.progress() >= 1:
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the spent time and the configuration in the checkpoint."""
        checkpoint["elapsed"] = self.elapsed
        checkpoint["network"] = self.model.config.to_dict()
        checkpoint["training"] = self.training_config.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the spent time up again."""
        self.elapsed = float(checkpoint["elapsed"])

    def _note(self, **values: Tensor) -> None:
        self._noted += 1
        for key, value in values.items():
            self._sums[key] = self._sums.get(key, 0.0) + float(value.detach())


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
    # Lightning's notes on devices and its advertisements are no news to who learns a codec.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(training.seed)
    task = CodecTraining(
        sampler, network=network, training=training, log_line=log_line, log_every=log_every
    )
    last = folder / "last.ckpt"
    checkpoint = _read_checkpoint(last, network) if last.exists() else None
    if checkpoint is None:
        patches, _ = sampler.batch(0, size=2048)
        picture = torch.from_numpy(patches).float() / 255 - 0.5
        start_from_components(task.model.analysis, task.model.synthesis, picture, gain=network.gain)
        if start is not None and not take_over(task.model, start):
            task.held.fill_(HELD_STEPS)
    elif _spent(training, checkpoint["global_step"], checkpoint["elapsed"]) >= 1:
        task.load_state_dict(checkpoint["state_dict"])
        return task.model.eval()
    keep = lightning.pytorch.callbacks.ModelCheckpoint(
        dirpath=folder,
        filename="last",
        every_n_train_steps=training.checkpoint_every,
        save_top_k=1,
        enable_version_counter=False,
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        logger=False,
        callbacks=[keep],
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
        default_root_dir=folder,
    )
    with warnings.catch_warnings():
        # That the folder of a resumed run is not empty is as it should be.
        warnings.filterwarnings("ignore", message=".*exists and is not empty")
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
        trainer.fit(
            task, Steps(), ckpt_path=last if checkpoint is not None else None, weights_only=True
        )
    trainer.save_checkpoint(last, weights_only=False)
    return task.model.eval()


def _spent(config: TrainingConfig, step: int, elapsed: float) -> float:
    """Share of the budget that so many steps, or seconds, are."""
    if config.steps is not None:
        return min(1.0, step / config.steps)
    return min(1.0, elapsed / (60 * config.minutes))


def _read_checkpoint(path: Path, network: NetworkConfig) -> dict[str, Any]:
    try:
        # Only plain values and tensors: a checkpoint can run no code.
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = NetworkConfig.from_dict(checkpoint["network"])
    except Exception as error:  # a damaged file fails in many ways
        raise CodecError(
            f"{path}: the checkpoint cannot be read ({type(error).__name__}); "
            "delete it to start anew"
        ) from error
    if found != network:
        raise CodecError(
            f"{path}: the checkpoint is of networks of other sizes; name another folder"
        )
    return checkpoint
