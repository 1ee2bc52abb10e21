"""Configuration of a codec with lattice context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from kinpack.codec.learned.lattice_contexts import Group
from kinpack.errors import CodecError
from kinpack.learn.models.plain import Plain

DEFAULT_GROUPS = (
    Group(8, 24, True),
    Group(24, 64, True),
    Group(64, 128, False),
    # Held by next to no picture below quality 80.
    Group(128, 192, False),
)


@dataclass(frozen=True)
class LatticeConfig(Plain):
    """Sizes of the networks.

    Attributes:
        latent: channels of the latent ``y``, at an eighth of the picture's resolution.
        low: how many of them, the first, are coded on the lattice.
        level: inner channels of the lattice's networks.
        groups: the other channels in the order of coding.
        context: inner channels of the groups' networks.
        wide: channels of both transforms at a half of the picture's resolution.
        mid: channels of both at a quarter.
        deep: channels of the synthesis at an eighth.
        bottleneck_wide: inner channels of the residual blocks at a half.
        bottleneck_mid: inner channels of those at a quarter and an eighth.
        analysis_blocks: further residual blocks of the analysis at a quarter: only encoding pays.
        analysis_inner: inner channels of those.
        gain: constant factor between the analysis network's output and ``y``.
    """

    latent: int = 192
    low: int = 8
    level: int = 96
    groups: tuple[Group, ...] = DEFAULT_GROUPS
    context: int = 96
    wide: int = 64
    mid: int = 96
    deep: int = 128
    bottleneck_wide: int = 32
    bottleneck_mid: int = 48
    analysis_blocks: int = 2
    analysis_inner: int = 64
    gain: float = 8.0

    def __post_init__(self) -> None:
        at = self.low
        for group in self.groups:
            if group.start != at or group.stop <= at:
                raise CodecError("the groups of a codec must follow one another; check `groups`")
            at = group.stop
        if at != self.latent or self.low < 1:
            raise CodecError("the groups of a codec must end with its latents; check `latent`")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a configuration from ``to_dict``'s values."""
        if "groups" in values:
            values = {**values, "groups": tuple(Group(**group) for group in values["groups"])}
        return super().from_dict(values)
