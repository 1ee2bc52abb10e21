"""How describers are trained: by processor time, each step's draws told by its number."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from kinpack.learn.training.loop import Budget, Log


@dataclass(frozen=True, kw_only=True)
class DescriberTraining:
    """How a describer is trained.

    Attributes:
        minutes: budget, of processor time.
        seed: of weights, pictures and views.
        batch: pictures of a step.
        learning_rate: of Adam, after the warm-up; it falls as half a cosine.
    """

    minutes: float
    seed: int = 0
    batch: int
    learning_rate: float

    def draws(self, step: int) -> np.random.Generator:
        """Seed torch for a step, and give what draws the step's pictures."""
        torch.manual_seed(self.seed * 1_000_003 + step)
        return np.random.default_rng((self.seed, step))

    def budget(self, checkpoint: Path, log: Log | None) -> Budget:
        """The budget of a run, which is kept in a file; ``log`` is called every 50 steps."""
        return Budget(
            checkpoint=checkpoint,
            minutes=self.minutes,
            learning_rate=self.learning_rate,
            average=0.998,
            clock=time.process_time,
            keep_every=200,
            log=log,
            log_every=50,
        )
