"""The residual network under our own codes: small enough for two cores, wide enough for a GPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from kinpack.errors import KinpackError

PATCH = 3
"""Side of the patches that the first, fixed layer whitens."""
MIDDLE = 0.45
"""Grey from which pictures on the scale 0 to 1 are measured."""


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes of the network for 32×32 pictures.

    Attributes:
        widths: channels at 16×16, 8×8 and 4×4; arithmetic grows with their squares.
        blocks: residual blocks at each of these.
        filters: whitening filters of the first layer, each with its negative; at most 27.
    """

    widths: tuple[int, int, int] = (48, 96, 192)
    blocks: tuple[int, int, int] = (1, 1, 1)
    filters: int = 24

    def __post_init__(self) -> None:
        if min(*self.widths, *self.blocks, self.filters) < 1:
            raise KinpackError("a backbone needs a channel, a block and a filter or more each")
        if self.filters > 3 * PATCH * PATCH:
            raise KinpackError(f"patches have {3 * PATCH * PATCH} components, not {self.filters}")

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
        given: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known
        }
        return cls(**given)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a skip, normalised before each (He et al. 2016, v2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, C, H, W) to the same shape."""
        y = self.first(gelu(self.norms[0](x)))
        out: Tensor = x + self.second(gelu(self.norms[1](y)))
        return out


class Backbone(nn.Module):
    """Descriptor of a picture.

    ::

        picture (n, 3, 32, 32) ─ whitened 3×3 patches (fixed) ─ 1×1 ─ ↓2 ─ blocks ─ ↓2 ─ blocks
                               ─ ↓2 ─ blocks ─ norm ─ mean over places ─ descriptor (n, features)

    Args:
        config: sizes.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        stem = 2 * config.filters
        self.whiten = nn.Conv2d(3, stem, PATCH, padding=1, bias=False)
        self.whiten.weight.requires_grad = False
        layers: list[nn.Module] = []
        before = stem
        for width, count in zip(config.widths, config.blocks, strict=True):
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False)]
            layers += [ResidualBlock(width) for _ in range(count)]
            before = width
        self.body = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(before)

    @torch.no_grad()
    def start_from(self, pictures: Tensor) -> None:
        """Set the first layer to the principal components of patches, scaled to variance 1.

        Args:
            pictures: (n, 3, H, W), 0 to 1; some thousands.
        """
        patches = nn.functional.unfold(pictures - MIDDLE, PATCH)  # (n, 27, places)
        rows = patches.transpose(1, 2).reshape(-1, 3 * PATCH * PATCH).double()
        values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
        kept = vectors.T.flip(0)[: self.config.filters]
        scaled = kept / (values.flip(0)[: self.config.filters, None] + 1e-4).sqrt()
        weight = torch.cat([scaled, -scaled]).reshape(-1, 3, PATCH, PATCH)
        self.whiten.weight.copy_(weight.to(self.whiten.weight))

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (n, 3, H, W), 0 to 1, to descriptors (n, features), not normalised."""
        places = gelu(self.norm(self.body(gelu(self.whiten(x - MIDDLE)))))
        descriptor: Tensor = places.mean(dim=(2, 3))
        return descriptor
