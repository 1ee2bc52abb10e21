"""Sizes of a codec with a lattice that learns within seconds."""

from __future__ import annotations

from kinpack.codec.learned.lattice_contexts import Group
from kinpack.learn.lattice.config import LatticeConfig

SMALL = LatticeConfig(
    latent=24,
    low=4,
    level=16,
    groups=(Group(4, 12, True), Group(12, 24, False)),
    context=16,
    wide=8,
    mid=16,
    deep=16,
    bottleneck_wide=8,
    bottleneck_mid=8,
    analysis_blocks=1,
    analysis_inner=8,
)
