"""Which models are trained: Table 1 of the paper, its seeds, and what is varied beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from kinpack.errors import KinpackError

#: Table 1: weight λ of the alignment in each model.
LAMBDAS = {
    "g": (1, 1 / 5, 1 / 20, 1 / 50, 1 / 100, 1 / 200, 1 / 500, 1 / 1000),
    "s": (1, 2 / 3, 1 / 3, 1 / 5, 1 / 10, 1 / 20, 1 / 30, 1 / 50),
    "r": (1, 1 / 2, 1 / 10, 1 / 20, 1 / 33, 1 / 50, 1 / 200, 1 / 1000),
}
CHANNELS = 64
"""Latent channels of the main figures."""
SEEDS = (0, 1, 2)
KL_WEIGHT = 1e-4
"""Weight of the divergence (nats a pixel) in C-VAE's loss."""

MIDDLE = 0.5
"""Grey from which networks measure pixels, unless that is varied."""

VARIANTS = ("C", "s", "r", "g")
READINGS = {"C": ("",), "s": ("",), "r": ("fixed", "redrawn"), "g": ("ones", "log-det")}


@dataclass(frozen=True)
class ModelConfig:
    """One model of the experiment.

    Attributes:
        dataset: ``cifar10``, ``fashion_mnist`` or ``emoji``.
        variant: ``C`` (no alignment), ``s`` (by class), ``r`` (random target), ``g`` (global).
        lam: weight λ of the alignment, 0 in ``C``.
        seed: of the weights, of the order of the pictures and of random targets.
        channels: latent channels; D = 16·channels dimensions.
        reading: how ``r`` and ``g`` are read: one ``fixed`` random labelling or one ``redrawn``
            each batch; a target of ``ones`` or the ``log-det`` of the Gram matrix.
        gram: ``raw`` as in eq. 3, or of ``normalised`` latents.
        kl_weight: weight of the divergence in nats a pixel; 0 trains without it, and without
            sampling.
        middle: grey from which the network measures pixels, 0 to 1.
        epochs: passes over the training set.
    """

    dataset: str = "cifar10"
    variant: str = "C"
    lam: float = 0.0
    seed: int = 0
    channels: int = CHANNELS
    reading: str = ""
    gram: str = "raw"
    kl_weight: float = 0.0
    middle: float = MIDDLE
    epochs: int = 5

    def __post_init__(self) -> None:
        if self.reading not in READINGS.get(self.variant, ()):
            raise KinpackError(f"there is no variant {self.variant!r} read as {self.reading!r}")
        if self.gram not in ("raw", "normalised"):
            raise KinpackError(f"a Gram matrix is raw or normalised, not {self.gram!r}")
        if (self.variant == "C") != (self.lam == 0):
            raise KinpackError("C-VAE has no alignment, and the other models have one: check λ")

    @property
    def name(self) -> str:
        """The model's name in files: what it is, and what differs from the paper's default."""
        parts = [self.dataset, self.variant]
        if self.lam:
            parts.append(f"lam{self.lam:.4f}")
        parts += [f"c{self.channels}", f"seed{self.seed}"]
        if self.reading in ("redrawn", "log-det"):
            parts.append(self.reading)
        if self.gram == "normalised":
            parts.append("normalised")
        if (self.kl_weight > 0) != (self.variant == "C"):
            parts.append("kl" if self.kl_weight else "nokl")
        if self.middle != MIDDLE:
            parts.append("black" if self.middle == 0 else f"middle{self.middle:g}")
        return "-".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from what ``to_dict`` gave, other keys left out."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})


def cvae(**settings: Any) -> ModelConfig:
    """C-VAE: mean squared error and the divergence from the prior."""
    return ModelConfig(**{"variant": "C", "kl_weight": KL_WEIGHT, **settings})


def aligned(variant: str, lam: float, **settings: Any) -> ModelConfig:
    """sMIC, rMIC or gMIC at λ, as eq. 6 is printed: no divergence, raw Gram matrix."""
    reading = {"s": "", "r": "fixed", "g": "ones"}[variant]
    return ModelConfig(**{"variant": variant, "lam": lam, "reading": reading, **settings})


def main_models() -> list[ModelConfig]:
    """The 25 models of Figure 3: C-VAE, and s, r and g at the eight λ of Table 1."""
    return [cvae(), *(aligned(v, lam) for v in ("s", "r", "g") for lam in LAMBDAS[v])]


def repeated_models() -> list[ModelConfig]:
    """Further seeds of C-VAE, of the corner λ of each row, and of C-VAE without divergence."""
    corners = [cvae(), cvae(kl_weight=0.0)]
    corners += [aligned(v, lam) for v in ("s", "r", "g") for lam in (LAMBDAS[v][0], LAMBDAS[v][-1])]
    first = [cvae(kl_weight=0.0)]
    return first + [replace(model, seed=seed) for seed in SEEDS[1:] for model in corners]


def varied_models() -> list[ModelConfig]:
    """Other widths of the latent, and the other readings and options of the losses."""
    models = []
    for channels in (16, 128):
        models += [cvae(channels=channels)]
        models += [aligned("s", lam, channels=channels) for lam in (1, 1 / 10)]
    models += [aligned("r", lam, reading="redrawn") for lam in (1, 1 / 20)]
    models += [aligned("g", lam, reading="log-det", gram="normalised") for lam in (1 / 20, 1 / 200)]
    models += [aligned("s", 1 / 10, gram="normalised"), aligned("s", 1 / 10, kl_weight=KL_WEIGHT)]
    # Of the pixels as they are, without a middle: what a common part of all latents changes.
    models += [cvae(middle=0.0), cvae(middle=0.0, kl_weight=0.0)]
    return models


def other_data_models() -> list[ModelConfig]:
    """C-VAE and sMIC on Fashion-MNIST and on the emoji."""
    models = []
    for dataset, epochs in (("fashion_mnist", 4), ("emoji", 60)):
        models += [cvae(dataset=dataset, epochs=epochs)]
        models += [cvae(dataset=dataset, epochs=epochs, kl_weight=0.0)]
        models += [aligned("s", lam, dataset=dataset, epochs=epochs) for lam in (1, 1 / 10, 1 / 50)]
    return models


def all_models() -> list[ModelConfig]:
    """Every model, those of Figure 3 first."""
    return main_models() + repeated_models() + other_data_models() + varied_models()


def quick_models() -> list[ModelConfig]:
    """A model of each variant on few pictures: the whole path in a minute."""
    return [
        cvae(channels=4, epochs=10),
        *(aligned(v, 1 / 10, channels=4, epochs=10) for v in ("s", "r", "g")),
    ]


def find(models: Iterable[ModelConfig], **fields_wanted: Any) -> list[ModelConfig]:
    """Models whose fields have the values given."""
    return [
        m for m in models if all(getattr(m, key) == value for key, value in fields_wanted.items())
    ]
