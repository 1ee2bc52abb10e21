"""Which models are trained: the search, the chosen ones with their seeds, and the slides' claims.

The search is by stages, each of which takes the best of the one before by mAP@1000 of symmetric
distances on 5,000 held-out train images, *whose labels are used for that*:

1. λ and (N, M, K) together, for each length: 3 values of λ × 12 shapes, briefly trained;
2. half and twice the best λ, for the best shape;
3. the codebook's update: by mini-batch mean, gradient or moving average;
4. brief or long training; the last checkpoint is always the one taken;
5. the chosen model of each length, three seeds, on all 50,000 train images.

What it costs: a pass over 45,000 pictures takes 22 seconds of a free core (2,000 pictures a second;
30 seconds where both are busy), a held-out measurement 14. The full plan has 54 models of the
search (69 passes), 9 chosen ones (27 passes of 50,000 pictures) and about 19 more for the claims
(19 passes): 1 core-hour on free cores, 1.5 on busy ones, beside the rivals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from kinpack.errors import KinpackError
from kinpack.learn.models.vector_quantiser import PRIORS, UPDATES, QuantiserConfig

LAMBDAS = (0.1, 0.5, 10.0)
"""λ that are searched; the slides name one value, 0.5."""
SLIDE_LAMBDA = 0.5
SLIDE_WORDS = 25

Shape = tuple[int, int, int]
"""(N, M, K): positions, books at each, words a book."""

SHAPES: dict[int, tuple[Shape, ...]] = {
    32: ((1, 4, 256), (4, 1, 256), (1, 8, 16), (4, 2, 16)),
    48: ((1, 6, 256), (1, 12, 16), (4, 3, 16)),
    64: ((1, 8, 256), (4, 2, 256), (1, 16, 16), (4, 4, 16), (16, 1, 16)),
}
"""Shapes of each length in bits: K = 256 and K = 16 (fast scan), N = 1 and 4, once 16."""


@dataclass(frozen=True)
class ModelConfig:
    """One model.

    Attributes:
        N: spatial positions: 1, 4 or 16.
        M: books at each position.
        K: words a book.
        d: dimensions of a word; 0 gives one for each of its bits, ⌈log2 K⌉.
        lam: λ, weight of the quantiser's terms.
        beta: β, weight of the commitment within them.
        epsilon: ε, weight of −log r(z) in the choice of words.
        prior: r(z), ``uniform`` or ``learned``.
        update: of the words: ``mean`` (the paper's), ``gradient`` or ``average``.
        quantised: False trains the plain autoencoder; its codes are learned afterwards by k-means.
        seed: of weights, words and the order of the pictures.
        epochs: passes over the pictures.
        part: what is learned from: the ``kept`` 45,000 train images, or ``all`` 50,000.
    """

    N: int = 1
    M: int = 4
    K: int = 256
    d: int = 0
    lam: float = SLIDE_LAMBDA
    beta: float = 0.25
    epsilon: float = 0.0
    prior: str = "uniform"
    update: str = "mean"
    quantised: bool = True
    seed: int = 0
    epochs: int = 2
    part: str = "kept"

    def __post_init__(self) -> None:
        if self.N not in (1, 4, 16):
            raise KinpackError(f"a picture of 32×32 has N = 1, 4 or 16 positions, not {self.N}")
        if not 1 <= self.K <= 256 or self.M < 1 or self.d < 0:
            raise KinpackError(f"M = {self.M} books of K = {self.K} words cannot be searched")
        if self.part not in ("kept", "all"):
            raise KinpackError(f"models learn from the kept part or all, not from {self.part!r}")
        if self.update not in UPDATES or self.prior not in PRIORS:
            raise KinpackError(
                f"there is no update {self.update!r} with a prior that is {self.prior!r}: updates "
                f"are {', '.join(UPDATES)}, priors {', '.join(PRIORS)}"
            )

    @property
    def bits(self) -> float:
        """Length of a code, R = N·M·log2 K."""
        return self.N * self.M * math.log2(self.K)

    @property
    def quantiser(self) -> QuantiserConfig:
        """The bottleneck."""
        return QuantiserConfig(
            M=self.M,
            K=self.K,
            d=self.d or max(1, math.ceil(math.log2(self.K))),
            lam=self.lam,
            beta=self.beta,
            epsilon=self.epsilon,
            prior=self.prior,
            update=self.update,
        )

    @property
    def name(self) -> str:
        """The model's name in files."""
        parts = [f"N{self.N}", f"M{self.M}", f"K{self.K}"]
        if self.d:
            parts.append(f"d{self.d}")
        parts += [f"lam{self.lam:g}", self.update] if self.quantised else ["autoencoder"]
        if self.beta != 0.25:
            parts.append(f"beta{self.beta:g}")
        if self.prior == "learned":
            parts.append(f"eps{self.epsilon:g}")
        return "-".join([*parts, f"seed{self.seed}", f"epochs{self.epochs}", self.part])

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from what ``to_dict`` gave, other keys left out."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})


@dataclass(frozen=True)
class Plan:
    """How much is tried and trained.

    Attributes:
        shapes: for each length in bits, the shapes that are searched.
        lambdas: values of λ that are searched.
        brief: passes of a model of the search, and of the claims.
        long: passes tried in stage 3.
        seeds: of the chosen models.
        planar_lambdas: λ of the models with two-dimensional latents.
        planar_words: K of those models at λ = 0.5.
        epsilons: ε of the entropy-constrained models.
        book_words: K of the models with four books.
        train: most train images used; a quick run takes the first of the file.
        test: most test images used.
    """

    shapes: dict[int, tuple[Shape, ...]]
    lambdas: tuple[float, ...] = LAMBDAS
    brief: int = 1
    long: int = 3
    seeds: tuple[int, ...] = (0, 1, 2)
    planar_lambdas: tuple[float, ...] = (0.005, 0.05, 0.5, 5.0, 50.0)
    planar_words: tuple[int, ...] = (4, 25, 64, 256)
    epsilons: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0, 3.0)
    book_words: tuple[int, ...] = (4, 16, 64, 256)
    train: int = 50_000
    test: int = 10_000

    def search(self, bits: int) -> list[ModelConfig]:
        """List the models of stage 1 for a length."""
        return [
            ModelConfig(N=N, M=M, K=K, lam=lam, epochs=self.brief)
            for N, M, K in self.shapes[bits]
            for lam in self.lambdas
        ]

    def finer(self, best: ModelConfig) -> list[ModelConfig]:
        """List the models of stage 2: the best of stage 1 with half and twice its λ."""
        return [best, *(replace(best, lam=best.lam * by) for by in (0.5, 2.0))]

    def updates(self, best: ModelConfig) -> list[ModelConfig]:
        """List the models of stage 3: the best of stage 2 with each update."""
        return [best, *(replace(best, update=u) for u in UPDATES if u != best.update)]

    def lengths(self, best: ModelConfig) -> list[ModelConfig]:
        """List the models of stage 4: the best of stage 3, trained briefly and long."""
        return [best, replace(best, epochs=self.long)]

    def chosen(self, best: ModelConfig) -> list[ModelConfig]:
        """List the models of stage 5: the best of stage 4 with each seed, on all train images."""
        return [replace(best, seed=seed, part="all") for seed in self.seeds]

    def claims(self) -> list[ModelConfig]:
        """List the models that the slides' claims are checked on, none twice."""
        found = [*self.planar_by_lambda(), *self.planar_by_words(), *self.by_epsilon()]
        found += [*self.by_book_words(), *(m for pair in self.against_plain() for m in pair)]
        return list(dict.fromkeys(found))

    def planar_by_lambda(self) -> list[ModelConfig]:
        """List two-dimensional models of K = 25 words, by λ (the slides' picture among them)."""
        return [self._planar(K=SLIDE_WORDS, lam=lam) for lam in self.planar_lambdas]

    def planar_by_words(self) -> list[ModelConfig]:
        """List two-dimensional models at λ = 0.5, by K."""
        return [self._planar(K=K, lam=SLIDE_LAMBDA) for K in self.planar_words]

    def by_epsilon(self) -> list[ModelConfig]:
        """List 32-bit models with a learned r(z), by ε."""
        shape = ModelConfig(N=1, M=4, K=256, prior="learned", epochs=self.brief)
        return [replace(shape, epsilon=epsilon) for epsilon in self.epsilons]

    def by_book_words(self) -> list[ModelConfig]:
        """List models of four books of words of eight dimensions, by K."""
        return [ModelConfig(N=1, M=4, K=K, d=8, epochs=self.brief) for K in self.book_words]

    def against_plain(self) -> list[tuple[ModelConfig, ModelConfig]]:
        """List pairs, the autoencoder without bottleneck and with: planar, and of 32 bits."""
        pair = [self._planar(K=SLIDE_WORDS), ModelConfig(N=1, M=4, K=256, epochs=self.brief)]
        return [(replace(m, quantised=False), m) for m in pair]

    def _planar(self, **settings: Any) -> ModelConfig:
        return ModelConfig(N=1, M=1, d=2, epochs=self.brief, **settings)


FULL = Plan(SHAPES)
QUICK = Plan(
    {32: ((1, 4, 256), (4, 2, 16))},
    lambdas=(0.1, 0.5),
    brief=1,
    long=2,
    seeds=(0, 1),
    planar_lambdas=(0.1, 0.5),
    planar_words=(4, 25),
    epsilons=(0.0, 0.1),
    book_words=(4, 16),
    train=2000,
    test=200,
)


def cost(models: Iterable[ModelConfig]) -> float:
    """Work of models in passes over 45,000 pictures, a measurement counting for half of one."""
    return sum(m.epochs * (1.1 if m.part == "all" else 1.0) + 0.5 for m in models)
