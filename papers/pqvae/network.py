"""PQ-VAE's network: an encoder to N latent vectors, the quantiser, and a decoder."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

from torch import Tensor, nn

from kinpack.errors import CodecError
from kinpack.learn.models.vector_quantiser import QuantiserConfig, VectorQuantised, VectorQuantiser
from papers.variational import SLOPE, VaeConfig, VariationalAutoencoder

WIDTH = 128
"""Channels at an eighth of the picture's resolution, where the latent lies deeper than that."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network.

    Attributes:
        N: latent vectors of a picture of 32×32: 16 (an eighth of the resolution), 4 (a sixteenth)
            or 1 (the whole picture).
        quantiser: the bottleneck.
        quantised: whether the bottleneck is used; else the network is a plain autoencoder.
        image_channels: channels of a picture, 1 or 3.
    """

    N: int
    quantiser: QuantiserConfig
    quantised: bool = True
    image_channels: int = 3

    def __post_init__(self) -> None:
        if self.N not in (1, 4, 16):
            raise CodecError(f"a picture of 32×32 has N = 1, 4 or 16 latent vectors, not {self.N}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from what ``to_dict`` gave.

        Raises:
            CodecError: a field of the quantiser is not known.
        """
        return cls(**{**values, "quantiser": QuantiserConfig.from_dict(values["quantiser"])})


class QuantisedAutoencoder(nn.Module):
    """Convolutions 4×4 of stride 2 down to N positions, the quantiser, and the mirror.

    ::

        picture (n, C, 32, 32) ─ three convolutions ─ (n, 128, 4, 4) ─┬─ N = 16: that, D wide
                                                                      ├─ N = 4: one more, 4×4/2
                                                                      └─ N = 1: one of 4×4, no pad

    The convolutions are those of ``VariationalAutoencoder``, without its variance, and start as its
    do; what stands between them and the latent starts the same way.

    Args:
        config: sizes.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        D, N = config.quantiser.D, config.N
        width = D if N == 16 else WIDTH
        self.stack = VariationalAutoencoder(
            VaeConfig(image_channels=config.image_channels, latent=width)
        )
        # Nothing is sampled here: no weights for a variance.
        del self.stack.log_variance
        self.reduce, self.expand = nn.Sequential(), nn.Sequential()
        if N < 16:
            stride, padding = (2, 1) if N == 4 else (1, 0)
            down = nn.Conv2d(width, D, 4, stride, padding)
            up = nn.ConvTranspose2d(D, width, 4, stride, padding)
            for layer in (down, up):
                nn.init.orthogonal_(layer.weight, nn.init.calculate_gain("leaky_relu", SLOPE))
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            self.reduce = nn.Sequential(nn.LeakyReLU(SLOPE), down)
            self.expand = nn.Sequential(up, nn.LeakyReLU(SLOPE))
        self.quantiser = VectorQuantiser(config.quantiser)

    def encode(self, x: Tensor) -> Tensor:
        """Latent vectors z_e(x).

        Args:
            x: (n, C, 32, 32), 0 to 1.

        Returns:
            (n, N, D), positions row by row.
        """
        z: Tensor = self.reduce(self.stack.encode(x))
        return z.flatten(2).mT

    def decode(self, z: Tensor) -> Tensor:
        """Pictures of latent vectors.

        Args:
            z: (n, N, D), positions row by row.

        Returns:
            (n, C, 32, 32), not limited to the scale.
        """
        side = math.isqrt(self.config.N)
        return self.stack.decode(self.expand(z.mT.reshape(len(z), -1, side, side)))

    def forward(self, x: Tensor) -> tuple[Tensor, VectorQuantised | None]:
        """Pictures (n, C, 32, 32) drawn again, and what the quantiser says (None without one)."""
        z = self.encode(x)
        if not self.config.quantised:
            return self.decode(z), None
        out: VectorQuantised = self.quantiser(z)
        return self.decode(out.z_q), out
