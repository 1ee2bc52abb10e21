"""What is trained for our own codes: two networks, and heads with the settings that are tried.

Nothing here was chosen on test images. The networks' settings are those of their papers, and of
short trials told on the experiment's page; a head's are chosen among the candidates below by
mAP@1000 of symmetric distances at 32 bits on 5,000 held-out train images, *whose labels are used
for that*. With labels, these candidates look through a network trained briefly on the other
45,000, for one trained on all would know the held-out pictures already.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from papers.pqvae.augmentations import Views
from papers.pqvae.backbone import BackboneConfig
from papers.pqvae.backbone_training import BackboneTraining
from papers.pqvae.class_training import ClassTraining
from papers.pqvae.heads import PRODUCTS, HeadConfig
from papers.pqvae.pooled_network import PooledConfig

UNLABELLED = "ours-unlabelled"
ALIGNED = "ours-labelled-aligned"
CLASSIFIED = "ours-labelled-head"
METHODS = (UNLABELLED, ALIGNED, CLASSIFIED)
LOSSES = {UNLABELLED: "contrast", ALIGNED: "alignment", CLASSIFIED: "classes"}

CONTRAST = BackboneTraining(
    objective="contrast",
    backbone=BackboneConfig(widths=(64, 128, 256)),
    views=Views(side=24, least_area=0.25),
    epochs=36,
    fall=0.3,
    neighbours=20,
    neighbours_after=22,
    neighbours_every=6,
)
"""Views are drawn at 24×24: half the arithmetic, and things as large in them as in whole pictures
of 32×32."""


CANDIDATES: dict[str, tuple[HeadConfig, ...]] = {
    UNLABELLED: tuple(
        HeadConfig("contrast", temperature=temperature, neighbours=neighbours)
        for neighbours in (20, 50)
        for temperature in (0.2, 0.4, 0.8)
    ),
    ALIGNED: tuple(HeadConfig("alignment", d=d) for d in (8, 16)),
    CLASSIFIED: tuple(HeadConfig("classes", d=d) for d in (8, 16)),
}


@dataclass(frozen=True)
class OwnPlan:
    """How much is trained and tried.

    Attributes:
        contrast: training without labels, of all 50,000 train images.
        classes: training with labels, of all of them.
        trial: the brief one with labels, of the kept 45,000.
        views: random views of each train image that heads learn from.
        drawn: how they are drawn.
        candidates: for each method, settings of heads of 32 bits.
        bits: lengths of code.
        seeds: of the heads.
        measured_every: passes between two looks at how good the descriptors without labels are.
        train: most train images used; a quick run takes the first of the file.
        test: most test images used.
    """

    contrast: BackboneTraining = CONTRAST
    classes: ClassTraining = field(default_factory=ClassTraining)
    trial: ClassTraining = field(default_factory=lambda: ClassTraining(epochs=3))
    views: int = 1
    drawn: Views = field(default_factory=lambda: Views(least_area=0.5))
    candidates: dict[str, tuple[HeadConfig, ...]] = field(default_factory=lambda: CANDIDATES)
    bits: tuple[int, ...] = (32, 48, 64)
    seeds: tuple[int, ...] = (0, 1, 2)
    measured_every: float = 10
    train: int = 50_000
    test: int = 10_000

    def heads(self, chosen: HeadConfig) -> list[HeadConfig]:
        """List the chosen head of 32 bits at every length, with every seed."""
        found = []
        for bits in self.bits:
            M, K = PRODUCTS[bits]
            found += [replace(chosen, bits=bits, M=M, K=K, seed=seed) for seed in self.seeds]
        return found


FULL = OwnPlan()
QUICK = OwnPlan(
    contrast=replace(
        CONTRAST, backbone=BackboneConfig(widths=(8, 8, 16)), epochs=2, neighbours_after=1
    ),
    classes=ClassTraining(network=PooledConfig(widths=(8, 16, 16)), epochs=2, batch=256),
    trial=ClassTraining(network=PooledConfig(widths=(8, 16, 16)), epochs=1, batch=256),
    views=2,
    candidates={m: (HeadConfig(LOSSES[m], d=8, steps=30, batch=128),) for m in METHODS},
    bits=(32,),
    seeds=(0, 1),
    measured_every=1,
    train=2000,
    test=200,
)
