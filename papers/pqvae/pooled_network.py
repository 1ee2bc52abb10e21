"""The network under our codes with labels: plain convolutions and maxima, quick to learn classes.

The shape and the start of the weights follow Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single
GPU" (2024), sections 2 and 3.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from kinpack.errors import KinpackError

PATCH = 2
"""Side of the patches that the first, fixed layer whitens."""
MEAN = (0.4914, 0.4822, 0.4465)
DEVIATION = (0.2470, 0.2435, 0.2616)
"""Of CIFAR-10's train pixels on the scale 0 to 1, per channel."""


@dataclass(frozen=True)
class PooledConfig:
    """Sizes of the network for 32×32 pictures.

    Attributes:
        widths: channels at 15×15, 7×7 and 3×3.
    """

    widths: tuple[int, int, int] = (64, 256, 256)

    def __post_init__(self) -> None:
        if min(self.widths) < 1:
            raise KinpackError("a network needs a channel or more at each size")

    @property
    def features(self) -> int:
        """Dimensions of the descriptor."""
        return self.widths[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from what ``to_dict`` gave."""
        known = {field.name for field in fields(cls)}
        return cls(**{k: tuple(v) for k, v in values.items() if k in known})


class PooledNetwork(nn.Module):
    """Descriptor of a picture.

    ::

        picture (n, 3, 32, 32) ─ whitened 2×2 patches (fixed) ─ three times: 3×3, maximum of 2×2,
                               norm, GELU, 3×3, norm, GELU ─ maximum over places (n, features)

    Args:
        config: sizes.
    """

    def __init__(self, config: PooledConfig) -> None:
        super().__init__()
        self.config = config
        stem = 2 * 3 * PATCH * PATCH
        self.whiten = nn.Conv2d(3, stem, PATCH)
        self.whiten.bias = nn.Parameter(torch.zeros(stem))
        self.whiten.weight.requires_grad = False
        layers: list[nn.Module] = []
        before = stem
        for width in config.widths:
            layers += [_convolution(before, width), nn.MaxPool2d(2), _norm(width), nn.GELU()]
            layers += [_convolution(width, width), _norm(width), nn.GELU()]
            before = width
        self.body = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))

    @torch.no_grad()
    def start_from(self, pictures: Tensor) -> None:
        """Set the first layer to the principal components of patches, scaled to variance 1.

        Args:
            pictures: (n, 3, H, W), 0 to 1; some thousands.
        """
        patches = nn.functional.unfold(self._measured(pictures), PATCH)  # (n, 12, places)
        rows = patches.transpose(1, 2).reshape(-1, patches.shape[1]).double()
        values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
        scaled = vectors.T.flip(0) / (values.flip(0)[:, None] + 5e-4).sqrt()
        weight = torch.cat([scaled, -scaled]).reshape(-1, 3, PATCH, PATCH)
        self.whiten.weight.copy_(weight.to(self.whiten.weight))

    def _measured(self, x: Tensor) -> Tensor:
        scaled: Tensor = (x - self.mean) / self.deviation  # type: ignore[operator]
        return scaled

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (n, 3, H, W), 0 to 1, to descriptors (n, features), not normalised."""
        places = self.body(gelu(self.whiten(self._measured(x))))
        descriptor: Tensor = places.amax(dim=(2, 3))
        return descriptor


def _convolution(before: int, width: int) -> nn.Conv2d:
    """3×3 convolution that begins by passing its inputs on."""
    layer = nn.Conv2d(before, width, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight.data[: min(before, width)])
    return layer


def _norm(width: int) -> nn.BatchNorm2d:
    """Normalisation over a batch with a learned shift and no learned scale."""
    norm = nn.BatchNorm2d(width, momentum=0.4, eps=1e-12)
    norm.weight.requires_grad = False
    return norm
