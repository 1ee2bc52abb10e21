"""Training of the backbone: without labels by contrast between views, or with them."""

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
from torch.nn.functional import cross_entropy, normalize

from kinpack.errors import KinpackError
from kinpack.learn.models.precision import reduced_precision
from kinpack.learn.training.losses import alignment_loss
from papers.pqvae.augmentations import Views
from papers.pqvae.backbone import Backbone, BackboneConfig
from papers.pqvae.heads import nearest_pictures
from papers.result_files import written_whole

Line = Callable[[dict[str, float]], None]

OBJECTIVES = ("contrast", "classes", "alignment")
CLASSES = 10
LIGHT = Views(least_area=0.5, jitter=0.5, strength=0.2, grey=0.05)
"""Views for training with labels, which tell what a picture's views have in common anyway."""


@dataclass(frozen=True)
class BackboneTraining:
    """A run of training.

    The learning rate rises, stays, and at the end falls to 0: a run is prolonged by raising
    ``epochs`` before its fall has begun.

    Attributes:
        objective: ``contrast`` between two views of each picture, which needs no labels;
            ``classes``, the cross-entropy of a linear classifier; or ``alignment`` of the
            descriptors by class, sMIC's loss.
        backbone: sizes of the network.
        views: how views are drawn.
        epochs: passes over the pictures.
        batch: pictures a step.
        learning_rate: of SGD with Nesterov's momentum 0.9.
        weight_decay: of the weights that multiply.
        temperature: of the softmax over similarities.
        decoupled: whether a view's partner is left out of what it is contrasted with.
        neighbours: near pictures that count as another view of a picture; 0 for none.
        neighbours_after: passes after which they do.
        neighbours_every: passes after which they are looked for anew.
        projection: dimensions in which views are compared, or classes are aligned.
        smoothing: share of a label that is spread over all classes.
        rise: share of the first epoch over which the learning rate rises.
        fall: share of all steps over which it falls at the end.
        seed: of weights, batches and views.
    """

    objective: str = "contrast"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    views: Views = field(default_factory=Views)
    epochs: float = 200
    batch: int = 256
    learning_rate: float = 0.12
    weight_decay: float = 5e-4
    temperature: float = 0.2
    decoupled: bool = True
    neighbours: int = 0
    neighbours_after: float = 0.0
    neighbours_every: float = 5.0
    projection: int = 128
    smoothing: float = 0.1
    rise: float = 1.0
    fall: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise KinpackError(f"a backbone is not trained by {self.objective!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from what ``to_dict`` gave."""
        known = {f.name for f in fields(cls)}
        given = {k: v for k, v in values.items() if k in known}
        given["backbone"] = BackboneConfig.from_dict(given["backbone"])
        given["views"] = Views(**given["views"])
        return cls(**given)


class Projector(nn.Module):
    """What stands between a descriptor and the contrast: two layers, thrown away afterwards."""

    def __init__(self, features: int, projection: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, 2 * features, bias=False),
            nn.BatchNorm1d(2 * features),
            nn.ReLU(),
            nn.Linear(2 * features, projection, bias=False),
            nn.BatchNorm1d(projection, affine=False),
        )

    def forward(self, h: Tensor) -> Tensor:
        """Map descriptors (n, features) to unit vectors (n, projection)."""
        return normalize(self.layers(h).float(), dim=1)


def contrast(a: Tensor, b: Tensor, *, temperature: float, decoupled: bool = False) -> Tensor:
    """Normalised temperature-scaled cross-entropy between two views (SimCLR, eq. 1).

    Decoupled (Yeh et al., "Decoupled contrastive learning", ECCV 2022, eq. 6), the partner is
    missing from the sum below the fraction, which makes small batches learn faster.

    Args:
        a: (n, d) unit vectors; row i is one view of picture i.
        b: (n, d) unit vectors of the other views.
        temperature: of the softmax; low ones make near views count most.
        decoupled: leave the partner out of the sum.

    Returns:
        A scalar in nats, the mean over all 2n views.
    """
    n = len(a)
    both = torch.cat([a, b])
    logits = both @ both.T / temperature
    logits.fill_diagonal_(-torch.inf)
    partner = torch.arange(2 * n, device=a.device).roll(n)
    if not decoupled:
        return cross_entropy(logits, partner)
    rows = torch.arange(2 * n, device=a.device)
    positive = logits[rows, partner]
    others = logits.index_put((rows, partner), logits.new_tensor(-torch.inf))
    return (torch.logsumexp(others, dim=1) - positive).mean()


class Run:
    """A run that can be stopped at any time and goes on where it was.

    Args:
        config: of the run.
        pixels: (n, 32, 32, 3) uint8, what it learns from.
        labels: (n,) int64, the pictures' classes; not looked at by ``contrast``.
        checkpoint: file that holds its state; read if it is there.
        device: where it computes.
    """

    def __init__(
        self,
        config: BackboneTraining,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int64],
        checkpoint: Path,
        *,
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self._checkpoint, self._device = config, checkpoint, torch.device(device)
        self._pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(self._device)
        self.backbone = Backbone(config.backbone)
        self._labels = torch.from_numpy(labels).to(self._device)
        features = config.backbone.features
        self.projector: nn.Module = Projector(features, config.projection)
        if config.objective != "contrast":
            outputs = CLASSES if config.objective == "classes" else config.projection
            self.projector = nn.Linear(features, outputs)
        self.backbone.start_from(self._pixels[:2000].float().cpu() / 255)
        for module in (self.backbone, self.projector):
            module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimiser = torch.optim.SGD(
            _weight_groups([self.backbone, self.projector], config.weight_decay),
            lr=config.learning_rate,
            momentum=0.9,
            nesterov=True,
        )
        self.step, self.minutes = 0, 0.0
        self._near: Tensor | None = None
        if checkpoint.exists():
            self._restore(torch.load(checkpoint, weights_only=True, map_location=self._device))

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return int(self.config.epochs * len(self._pixels) / self.config.batch)

    @property
    def epoch(self) -> float:
        """Passes over the pictures so far."""
        return self.step * self.config.batch / len(self._pixels)

    def advance(
        self,
        *,
        minutes: float = float("inf"),
        epoch: float = float("inf"),
        line: Line | None = None,
        save_every: float = 3.0,
    ) -> bool:
        """Train for some minutes, to some pass over the pictures, or to the end.

        Args:
            minutes: time to spend.
            epoch: pass to reach.
            line: called about every minute with step, epoch, minutes so far, and mean loss.
            save_every: minutes between checkpoints; one is always written at the end.

        Returns:
            Whether the run has come to its end.
        """
        self.backbone.train()
        self.projector.train()
        began = said = saved = time.monotonic()
        before, losses = self.minutes, []
        while self.step < self.steps and self.epoch < epoch:
            losses.append(self._one_step())
            now = time.monotonic()
            self.minutes = before + (now - began) / 60
            if line and now - said > 60:
                line(self._line(losses))
                said, losses = now, []
            if now - saved > 60 * save_every:
                self.save()
                saved = now
            if now - began > 60 * minutes:
                break
        if line and losses:
            line(self._line(losses))
        self.save()
        return self.step >= self.steps

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state = {
            "config": self.config.to_dict(),
            "step": self.step,
            "minutes": self.minutes,
            "backbone": self.backbone.state_dict(),
            "projector": self.projector.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "near": self._near,
        }
        with written_whole(self._checkpoint) as unfinished:
            torch.save(state, unfinished)

    def _restore(self, state: dict[str, Any]) -> None:
        self.backbone.load_state_dict(state["backbone"])
        self.projector.load_state_dict(state["projector"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self.minutes = state["step"], state["minutes"]
        self._near = state["near"]

    def _one_step(self) -> Tensor:
        c = self.config
        # Everything random in a step follows from its number, so that a resumed run is the same.
        generator = torch.Generator(self._device).manual_seed(c.seed * 1_000_003 + self.step)
        index = torch.randint(
            len(self._pixels), (c.batch,), generator=generator, device=self._device
        )
        shown = [index]
        if c.objective == "contrast":
            shown.append(self._partners(index, generator))
        views = torch.cat(
            [c.views.draw(self._pixels[i].float() / 255, generator=generator) for i in shown]
        )
        views = views.contiguous(memory_format=torch.channels_last)
        for group in self._optimiser.param_groups:
            group["lr"] = c.learning_rate * self._schedule()
        with reduced_precision(self._device.type):
            z = self.projector(self.backbone(views)).float()
        loss = self._loss(z, self._labels[index])
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimiser.step()
        self.step += 1
        return loss.detach()

    def _partners(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures whose views are to be found: the same ones, or for half of them a neighbour."""
        c = self.config
        since = self.step - int(c.neighbours_after * len(self._pixels) / c.batch)
        if not c.neighbours or since < 0:
            return index
        every = max(1, int(c.neighbours_every * len(self._pixels) / c.batch))
        if self._near is None or since % every == 0:
            self._near = self._found_near()
        drawn = torch.rand(2, len(index), generator=generator, device=self._device)
        column = (drawn[0] * self._near.shape[1]).long()
        return torch.where(drawn[1] < 0.5, self._near[index, column], index)

    def _found_near(self) -> Tensor:
        """Nearest pictures of each (n, neighbours), nearest first."""
        self.backbone.eval()
        h = descriptors(self.backbone, self._pixels.permute(0, 2, 3, 1).cpu().numpy())
        self.backbone.train()
        near = nearest_pictures(h, self.config.neighbours)
        return torch.from_numpy(near).to(self._device)

    def _loss(self, z: Tensor, labels: Tensor) -> Tensor:
        c = self.config
        if c.objective == "contrast":
            return contrast(
                z[: c.batch], z[c.batch :], temperature=c.temperature, decoupled=c.decoupled
            )
        if c.objective == "classes":
            return cross_entropy(z, labels, label_smoothing=c.smoothing)
        return alignment_loss(z, labels)

    def _schedule(self) -> float:
        """Share of the full learning rate at this step."""
        rise = self.config.rise * len(self._pixels) / self.config.batch
        left = (self.steps - self.step) / max(1.0, self.config.fall * self.steps)
        return max(0.0, min(1.0, (self.step + 1) / max(rise, 1.0), left))

    def _line(self, losses: list[Tensor]) -> dict[str, float]:
        loss = float(torch.stack(losses).mean())
        return {"step": self.step, "epoch": self.epoch, "minutes": self.minutes, "loss": loss}


def load_backbone(checkpoint: Path) -> Backbone:
    """Backbone of a checkpoint, as far as it was trained."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    backbone = Backbone(BackboneTraining.from_dict(state["config"]).backbone)
    backbone.load_state_dict(state["backbone"])
    return backbone.eval()


@torch.inference_mode()
def descriptors(
    network: nn.Module,
    pixels: NDArray[np.uint8],
    *,
    views: Views | None = None,
    seed: int = 0,
    batch: int = 500,
) -> NDArray[np.float32]:
    """Unit descriptors of pictures.

    Args:
        network: trained; put into evaluation mode by the caller.
        pixels: (n, 32, 32, 3) uint8.
        views: how a random view of each is drawn, which is then described; by default the mean
            over a picture and its mirror image.
        seed: of the views.
        batch: pictures at a time.

    Returns:
        (n, features).
    """
    found = []
    device = next(network.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    for start in range(0, len(pixels), batch):
        x = torch.from_numpy(pixels[start : start + batch]).permute(0, 3, 1, 2).to(device)
        x = x.float() / 255
        if views is not None:
            x = views.draw(x, generator=generator)
        x = x.contiguous(memory_format=torch.channels_last)
        with reduced_precision(device.type):
            h = network(x).float()
            if views is None:
                h = h + network(x.flip(3)).float()
        found.append(normalize(h, dim=1).cpu())
    return torch.cat(found).numpy()


def _weight_groups(modules: list[nn.Module], decay: float) -> list[dict[str, Any]]:
    """Weights that multiply decay; scales and shifts do not."""
    trained = [p for module in modules for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
    ]
