"""Heads: from the descriptors of a fixed backbone to product codes of 32, 48 or 64 bits.

Three losses over one bottleneck, PQ-VAE's product quantiser:

- ``contrast``: without labels. The quantised descriptor of one view must find the descriptor of the
  other among all others (Jang and Cho, "Self-supervised product quantisation", ICCV 2021), and that
  of a near neighbour of the picture, found by search among the descriptors themselves.
- ``alignment``: with labels, the union of the two papers: sMIC's distance of correlation matrices
  on the quantised descriptors.
- ``classes``: with labels, a linear classifier on the quantised descriptors.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from kinpack.errors import KinpackError
from kinpack.learn.models.vector_quantiser import QuantiserConfig, VectorQuantiser
from kinpack.learn.training.losses import alignment_loss

LOSSES = ("contrast", "alignment", "classes")
CLASSES = 10
PRODUCTS = {32: (4, 256), 48: (6, 256), 64: (8, 256)}
"""(M, K) of each length of code."""


@dataclass(frozen=True)
class HeadConfig:
    """One head.

    Attributes:
        loss: one of ``LOSSES``.
        bits: length of the code.
        M: books.
        K: words a book.
        d: dimensions of a word.
        hidden: inner dimensions of the map before the quantiser.
        steps: of training.
        batch: pictures a step.
        learning_rate: of Adam, falling as a cosine.
        temperature: of the softmax over similarities.
        neighbours: near neighbours that count as another view of a picture; 0 for none.
        commitment: weight of the quantiser's own loss.
        seed: of weights and batches.
    """

    loss: str
    bits: int = 32
    M: int = 4
    K: int = 256
    d: int = 16
    hidden: int = 256
    steps: int = 2000
    batch: int = 256
    learning_rate: float = 2e-3
    temperature: float = 0.2
    neighbours: int = 20
    commitment: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise KinpackError(f"a head has no loss {self.loss!r}; use {', '.join(LOSSES)}")
        if self.M * np.log2(self.K) != self.bits:
            raise KinpackError(f"{self.M} books of {self.K} words are not {self.bits} bits")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


class Head(nn.Module):
    """Map from descriptors to codes.

    ::

        descriptor (n, D) ─ linear ─ norm ─ ReLU ─ linear ─ unit length ─ z_e ─ quantiser ─ z_q

    Args:
        features: D, dimensions of a descriptor.
        config: sizes.
    """

    def __init__(self, features: int, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        code = config.M * config.d
        self.layers = nn.Sequential(
            nn.Linear(features, config.hidden),
            nn.BatchNorm1d(config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, code),
        )
        self.quantiser = VectorQuantiser(
            QuantiserConfig(M=config.M, K=config.K, d=config.d, update="average")
        )
        self.classifier = nn.Linear(code, CLASSES)

    def latent(self, h: Tensor) -> Tensor:
        """Vectors z_e before quantisation, each sub-vector of length 1 (n, M·d)."""
        parts = self.layers(h).unflatten(1, (self.config.M, self.config.d))
        return normalize(parts, dim=2).flatten(1)

    @torch.inference_mode()
    def codes(self, h: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Sub-indices of descriptors (n, M)."""
        self.eval()
        return self.quantiser.indices(self.latent(torch.from_numpy(h))).numpy().astype(np.uint8)

    @torch.inference_mode()
    def latents(self, h: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors z_e of descriptors (n, M·d), for asymmetric searching."""
        self.eval()
        found: NDArray[np.float32] = self.latent(torch.from_numpy(h)).numpy()
        return found

    def books(self) -> NDArray[np.float32]:
        """Words of the quantiser (M, K, d)."""
        words: NDArray[np.float32] = self.quantiser.words.detach().numpy()
        return words


def train_head(
    config: HeadConfig,
    views: NDArray[np.float32],
    *,
    labels: NDArray[np.int64] | None = None,
    near: NDArray[np.int64] | None = None,
) -> Head:
    """Train a head on descriptors.

    Args:
        config: of the head.
        views: (v, n, D) unit descriptors of v views of n pictures.
        labels: (n,) classes, for the losses that need them.
        near: (n, k) nearest neighbours of each picture, for ``contrast``.

    Raises:
        KinpackError: labels are missing where the loss needs them.
    """
    if config.loss != "contrast" and labels is None:
        raise KinpackError(f"a head with loss {config.loss!r} needs labels")
    torch.manual_seed(config.seed)
    head = Head(views.shape[2], config)
    optimiser = torch.optim.Adam(head.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    rng = np.random.default_rng(config.seed)
    classes = torch.from_numpy(np.zeros(0, np.int64) if labels is None else labels)
    head.train()
    for _ in range(config.steps):
        index = rng.integers(0, views.shape[1], config.batch)
        pair = [views[rng.integers(0, len(views), config.batch), index] for _ in range(2)]
        if near is not None and config.neighbours:
            # Half of the pictures meet a neighbour, the others another view of themselves.
            column = rng.integers(0, min(config.neighbours, near.shape[1]), config.batch)
            other = np.where(rng.random(config.batch) < 0.5, near[index, column], index)
            pair[1] = views[rng.integers(0, len(views), config.batch), other]
        a, b = (head.latent(torch.from_numpy(h)) for h in pair)
        if config.loss == "contrast":
            first = head.quantiser(a[:, None])
            second = head.quantiser(b[:, None])
            loss = cross_quantised(a, second.z_q[:, 0], config.temperature)
            loss = loss + cross_quantised(b, first.z_q[:, 0], config.temperature)
            loss = loss + config.commitment * (first.loss + second.loss)
        else:
            coded = head.quantiser(a[:, None])
            z = coded.z_q[:, 0]
            known = classes[torch.from_numpy(index)]
            if config.loss == "alignment":
                loss = alignment_loss(z, known)
            else:
                loss = cross_entropy(head.classifier(z), known)
            loss = loss + config.commitment * coded.loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return head.eval()


def cross_quantised(z: Tensor, z_q: Tensor, temperature: float) -> Tensor:
    """Cross-quantised contrastive loss (SPQ, eq. 6): each z must find the z_q of its other view.

    Args:
        z: (n, D) descriptors of one view.
        z_q: (n, D) quantised descriptors of the other views.
        temperature: of the softmax.

    Returns:
        A scalar in nats.
    """
    logits = normalize(z, dim=1) @ normalize(z_q, dim=1).T / temperature
    return cross_entropy(logits, torch.arange(len(z)))


def nearest_pictures(descriptors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Nearest other pictures of each by cosine, nearest first (n, count).

    Args:
        descriptors: (n, D) unit vectors.
        count: how many.
    """
    import faiss

    index = faiss.IndexFlatIP(descriptors.shape[1])
    index.add(descriptors)
    found = index.search(descriptors, count + 1)[1]
    places = np.arange(len(descriptors))[:, None]
    itself = found == places
    itself[~itself.any(1), -1] = True
    nearest: NDArray[np.int64] = found[~itself].reshape(len(descriptors), count)
    return nearest
