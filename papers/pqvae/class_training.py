"""Training of the pooled network with labels, in ten passes.

The recipe is Jordan's ("94 % on CIFAR-10 in 3.29 seconds on a single GPU", 2024): Nesterov's
momentum with a rate that rises for a quarter of the steps and falls after it, much faster steps
for shifts than for weights, pictures mirrored in every second pass, moved by up to two pixels,
smoothed labels, and weights that are drawn back to their running mean every few steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from kinpack.errors import KinpackError
from kinpack.learn.models.precision import reduced_precision
from kinpack.learn.training.losses import alignment_loss
from papers.pqvae.pooled_network import PooledConfig, PooledNetwork
from papers.result_files import written_whole

Line = Callable[[dict[str, float]], None]

CLASSES = 10
LOGIT_SCALE = 1 / 9
"""Of the classifier's outputs, as in the recipe."""
LOOK_EVERY = 5
"""Steps between two looks at the running mean of the weights."""


@dataclass(frozen=True)
class ClassTraining:
    """A run of training with labels.

    Attributes:
        network: sizes.
        epochs: passes over the pictures.
        batch: pictures a step.
        learning_rate: at its highest, for the mean loss of a batch.
        shift_rate: how many times faster the shifts of the norms learn.
        momentum: Nesterov's.
        weight_decay: of weights; that of shifts is as much less as they are faster.
        smoothing: share of a label that is spread over all classes.
        alignment: weight of sMIC's alignment loss of the descriptors, added to the cross-entropy.
        moved: pixels by which a picture is moved at most, in each direction.
        seed: of weights, batches and moves.
    """

    network: PooledConfig = field(default_factory=PooledConfig)
    epochs: float = 10
    batch: int = 1024
    learning_rate: float = 1.5
    shift_rate: float = 64
    momentum: float = 0.85
    weight_decay: float = 1.33e-3
    smoothing: float = 0.2
    alignment: float = 0.0
    moved: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs <= 0 or self.batch < 1:
            raise KinpackError("training needs a picture a step and more than 0 passes")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from what ``to_dict`` gave."""
        known = {f.name for f in fields(cls)}
        given = {k: v for k, v in values.items() if k in known}
        given["network"] = PooledConfig.from_dict(given["network"])
        return cls(**given)


class ClassRun:
    """A run that can be stopped at any time and goes on where it was.

    Args:
        config: of the run.
        pixels: (n, 32, 32, 3) uint8, what it learns from.
        labels: (n,) int64, the pictures' classes.
        checkpoint: file that holds its state; read if it is there.
        device: where it computes.
    """

    def __init__(
        self,
        config: ClassTraining,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int64],
        checkpoint: Path,
        *,
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self._checkpoint, self._device = config, checkpoint, torch.device(device)
        self._pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(self._device)
        self._labels = torch.from_numpy(labels).to(self._device)
        self.network = PooledNetwork(config.network)
        self.network.start_from(self._pixels[:5000].float().cpu() / 255)
        self.classifier = nn.Linear(config.network.features, CLASSES, bias=False)
        for module in (self.network, self.classifier):
            module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimiser = torch.optim.SGD(
            self._groups(), lr=config.learning_rate, momentum=config.momentum, nesterov=True
        )
        self._mean = {k: v.clone() for k, v in self._state().items()}
        self.step, self.minutes = 0, 0.0
        if checkpoint.exists():
            self._restore(torch.load(checkpoint, weights_only=True, map_location=self._device))

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return max(1, round(self.config.epochs * self._pass))

    @property
    def _pass(self) -> int:
        """Steps of a pass over the pictures."""
        return max(1, len(self._pixels) // self.config.batch)

    def advance(
        self,
        *,
        minutes: float = float("inf"),
        line: Line | None = None,
        save_every: float = 3.0,
    ) -> bool:
        """Train for some minutes, or to the end.

        Args:
            minutes: time to spend.
            line: called about every minute with step, epoch, minutes so far, and mean loss.
            save_every: minutes between checkpoints; one is always written at the end.

        Returns:
            Whether the run has come to its end.
        """
        self.network.train()
        began = said = saved = time.monotonic()
        before, losses = self.minutes, []
        while self.step < self.steps:
            losses.append(float(self._one_step()))
            now = time.monotonic()
            self.minutes = before + (now - began) / 60
            if line and (now - said > 60 or self.step == self.steps):
                line(
                    {
                        "step": self.step,
                        "epoch": self.step / self._pass,
                        "minutes": self.minutes,
                        "loss": float(np.mean(losses)),
                    }
                )
                said, losses = now, []
            if now - saved > 60 * save_every:
                self.save()
                saved = now
            if now - began > 60 * minutes:
                break
        self.save()
        return self.step >= self.steps

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state = {
            "config": self.config.to_dict(),
            "step": self.step,
            "minutes": self.minutes,
            "network": self.network.state_dict(),
            "classifier": self.classifier.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "mean": self._mean,
        }
        with written_whole(self._checkpoint) as unfinished:
            torch.save(state, unfinished)

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.classifier.load_state_dict(state["classifier"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._mean = state["mean"]
        self.step, self.minutes = state["step"], state["minutes"]

    def _groups(self) -> list[dict[str, Any]]:
        c = self.config
        trained = [*self.network.named_parameters(), *self.classifier.named_parameters()]
        shifts = [p for name, p in trained if "body" in name and p.ndim == 1 and p.requires_grad]
        weights = [p for _, p in trained if p.ndim > 1 and p.requires_grad]
        first = [self.network.whiten.bias]
        return [
            {
                "params": shifts,
                "rate": c.shift_rate,
                "weight_decay": c.weight_decay / c.shift_rate,
            },
            {"params": weights, "rate": 1.0, "weight_decay": c.weight_decay},
            {"params": first, "rate": 1.0, "weight_decay": c.weight_decay},
        ]

    def _one_step(self) -> Tensor:
        c = self.config
        now, place = divmod(self.step, self._pass)
        # Everything random in a pass follows from its number, so that a resumed run is the same.
        generator = torch.Generator().manual_seed(c.seed * 1_000_003 + now)
        order = torch.randperm(len(self._pixels), generator=generator)
        moves = torch.randint(0, 2 * c.moved + 1, (2, len(order)), generator=generator)
        # A picture is mirrored in every second pass, from the first or from the second on.
        side = torch.rand(len(order), generator=torch.Generator().manual_seed(c.seed)) < 0.5
        index = order[place * c.batch : (place + 1) * c.batch]
        x = self._pixels[index.to(self._device)].float() / 255
        mirrored = side[index] ^ bool(now % 2)
        x = torch.where(mirrored.to(self._device).view(-1, 1, 1, 1), x.flip(3), x)
        x = _moved(x, moves[:, index], c.moved).contiguous(memory_format=torch.channels_last)
        self._set_rates()
        labels = self._labels[index.to(self._device)]
        with reduced_precision(self._device.type):
            h = self.network(x)
            logits = self.classifier(h)
        loss = cross_entropy(logits.float() * LOGIT_SCALE, labels, label_smoothing=c.smoothing)
        if c.alignment:
            loss = loss + c.alignment * alignment_loss(h.float(), labels)
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimiser.step()
        self.step += 1
        self._look_back()
        return loss.detach()

    def _set_rates(self) -> None:
        rate = self.config.learning_rate * _triangle(self.step / self.steps)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["rate"]
        if self.step >= 3 * self._pass:  # the first layer's shift learns in the first passes only
            self._optimiser.param_groups[2]["lr"] = 0.0

    def _state(self) -> dict[str, Tensor]:
        both = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        both |= {f"classifier.{k}": v for k, v in self.classifier.state_dict().items()}
        return {k: v for k, v in both.items() if v.is_floating_point()}

    @torch.no_grad()
    def _look_back(self) -> None:
        """Draw the weights back to their running mean, every few steps and at the end."""
        last = self.step == self.steps
        if self.step % LOOK_EVERY and not last:
            return
        kept = 1.0 if last else 0.95**LOOK_EVERY * (self.step / self.steps) ** 3
        for name, value in self._state().items():
            self._mean[name].lerp_(value, 1 - kept)
            value.copy_(self._mean[name])


def load_pooled(checkpoint: Path) -> PooledNetwork:
    """Network of a checkpoint, as far as it was trained."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    network = PooledNetwork(ClassTraining.from_dict(state["config"]).network)
    network.load_state_dict(state["network"])
    return network.eval()


def _triangle(done: float) -> float:
    """Share of the learning rate: 0.2 at the start, 1 at 23 % of the steps, 0.07 at the end."""
    peak = 0.23
    if done < peak:
        return 0.2 + 0.8 * done / peak
    return 1 - 0.93 * (done - peak) / (1 - peak)


def _moved(x: Tensor, moves: Tensor, most: int) -> Tensor:
    """Pictures moved by whole pixels, their edges filled by reflection.

    Args:
        x: (n, 3, H, W).
        moves: (2, n) int64, 0 to twice ``most``: down and to the right, ``most`` for not at all.
        most: pixels.
    """
    height, width = x.shape[2:]
    wide = pad(x, (most, most, most, most), mode="reflect")
    moved = torch.empty_like(x)
    for row in range(2 * most + 1):
        for column in range(2 * most + 1):
            chosen = ((moves[0] == row) & (moves[1] == column)).nonzero()[:, 0].to(x.device)
            moved[chosen] = wide[chosen, :, row : row + height, column : column + width]
    return moved
