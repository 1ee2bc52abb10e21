"""The training loop: within a budget of time or steps, resumable at each checkpoint."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from kinpack.errors import CodecError, shown

Log: TypeAlias = Callable[[dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a network is trained, how fast it learns, and where its run is kept.

    Attributes:
        checkpoint: file that the run is kept in, and taken up from.
        minutes: time; used where ``steps`` is None.
        steps: number of steps; with it, a run repeats bit for bit on one machine.
        seed: of the weights and of all draws.
        learning_rate: of Adam, after the warm-up.
        warm_up: steps over which it rises.
        decay_from: share of the budget after which it falls, as half a cosine, to nearly 0.
        average: decay, a step, of a moving average of the weights; 0 keeps none.
        clock: gives seconds, of the wall or of the processor.
        keep_every: steps between checkpoints.
        log: called with ``step``, ``seconds``, ``progress`` (the share of the budget that is spent)
            and the means of all losses since it was last called.
        log_every: steps between its calls.
    """

    checkpoint: Path
    minutes: float
    steps: int | None = None
    seed: int = 0
    learning_rate: float = 1e-3
    warm_up: int = 200
    decay_from: float = 0.0
    average: float = 0.0
    clock: Callable[[], float] = time.monotonic
    keep_every: int = 500
    log: Log | None = None
    log_every: int = 100


class TrainingRun:
    """A network that is trained with Adam: its optimiser, its clock and its checkpoint.

    Args:
        network: to train, as it is to start where there is no checkpoint.
        losses: of the batch that belongs to the number of a step: ``loss``, which is minimised, and
            what else is to be logged.
        budget: how long; a checkpoint that lies there is taken up.
        groups: of Adam's parameters, where not all learn alike; one with ``held`` begins after so
            many steps.
        sizes: of the network, as plain values; a checkpoint of others is refused.
        notes: further plain values for the checkpoint.

    Attributes:
        step: number of steps taken.
        seconds: that they took.
        average: the moving average of the weights; empty where none is kept.

    Raises:
        CodecError: the checkpoint is damaged, or of another network.
    """

    def __init__(
        self,
        network: nn.Module,
        losses: Callable[[int], Mapping[str, Tensor]],
        budget: Budget,
        *,
        groups: Sequence[dict[str, Any]] | None = None,
        sizes: Mapping[str, Any] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self.network, self.budget, self._losses = network, budget, losses
        self.step, self.seconds = 0, 0.0
        self._plain = {"network": dict(sizes or {}), **(notes or {})}
        given: Any = network.parameters() if groups is None else groups
        self.optimiser = torch.optim.Adam(given, lr=budget.learning_rate)
        self._parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        if budget.checkpoint.exists():
            self._take_up(read_checkpoint(budget.checkpoint))
        else:
            kept = network.state_dict() if budget.average else {}
            self.average = {name: value.detach().clone() for name, value in kept.items()}

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, 0 to 1."""
        if self.budget.steps is not None:
            return min(1.0, self.step / self.budget.steps)
        return min(1.0, self.seconds / (60 * self.budget.minutes))

    def finish(self) -> None:
        """Train until the budget is spent, and leave the network in evaluation mode."""
        budget, sums, noted = self.budget, Counter[str](), 0
        while self.progress < 1:
            sums.update(self.advance())
            noted += 1
            if self.step % budget.keep_every == 0 or self.progress >= 1:
                self.keep()
            if budget.log and self.step % budget.log_every == 0:
                at = {"step": self.step, "seconds": self.seconds, "progress": self.progress}
                budget.log(at | {name: total / noted for name, total in sums.items()})
                sums, noted = Counter(), 0
        self.network.eval()

    def advance(self) -> dict[str, float]:
        """Take one step, and give its losses."""
        began, budget = self.budget.clock(), self.budget
        rate = budget.learning_rate * self._rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate * (self.step >= group.get("held", 0))
        self.network.train()
        losses = self._losses(self.step)
        self.optimiser.zero_grad()
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self.optimiser.step()
        self.step += 1
        if budget.average:
            self._follow()
        self.seconds += budget.clock() - began
        return {name: float(value.detach()) for name, value in losses.items()}

    def keep(self) -> None:
        """Write the checkpoint under another name, then rename it."""
        state = {
            **self._plain,
            "model": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        file = self.budget.checkpoint
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        torch.save(state, part)
        part.replace(file)

    def _rate(self) -> float:
        """Share of the learning rate: a short warm-up, a plateau, then half a cosine down."""
        late = (self.progress - self.budget.decay_from) / (1 - self.budget.decay_from)
        fallen = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * max(0.0, late)))
        return fallen * min(1.0, (self.step + 1) / self.budget.warm_up)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights; slowly once the run is long."""
        share = 1 - min(self.budget.average, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, share)
            else:  # a count, as norms keep one of their batches
                self.average[name].copy_(value)

    def _take_up(self, state: Mapping[str, Any]) -> None:
        file = shown(self.budget.checkpoint)
        if state["network"] != self._plain["network"]:
            raise CodecError(
                f"{file}: the checkpoint is of networks of other sizes; name another folder"
            )
        try:
            self.network.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CodecError(
                f"{file}: the checkpoint is of another network; delete it to start anew"
            ) from error
        self.average = state["average"]
        self.step, self.seconds = int(state["step"]), float(state["seconds"])


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Read what ``TrainingRun.keep`` wrote.

    Raises:
        CodecError: the file is missing or damaged.
    """
    try:
        # Only plain values and tensors: a checkpoint can run no code.
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        missing = {"network", "model", "average", "optimiser", "step", "seconds"} - state.keys()
        if missing:
            raise KeyError(*missing)
    except Exception as error:  # a damaged file fails in many ways
        raise CodecError(
            f"{shown(file)}: the checkpoint cannot be read ({type(error).__name__}); "
            "delete it to start anew"
        ) from error
    return state
