"""A short training loop within a budget of minutes or steps, which resumes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from kinpack.errors import CodecError, shown

WARM_UP_STEPS = 100
CHECKPOINT_EVERY = 500


@dataclass(frozen=True)
class Budget:
    """How long a network is trained, and where its checkpoint lies.

    Attributes:
        minutes: time; used where ``steps`` is None.
        steps: number of steps; with it, a run repeats bit for bit on one machine.
        seed: of the weights and of all draws.
        checkpoint: file that the run is kept in, and taken up from.
        log: called with the name, the share of the budget that is spent and the mean loss since it
            was last called.
        log_every: steps between its calls.
    """

    minutes: float
    steps: int | None
    seed: int
    checkpoint: Path
    log: Callable[[str, float, float], None] | None = None
    log_every: int = 100


def run_budget(
    network: nn.Module,
    loss: Callable[[int], Tensor],
    budget: Budget,
    *,
    learning_rate: float,
) -> None:
    """Train with Adam, the rate falling as half a cosine, and leave the network in evaluation mode.

    Args:
        network: to train.
        loss: of the batch that belongs to the number of a step.
        budget: how long.
        learning_rate: after the warm-up.

    Raises:
        CodecError: the checkpoint is damaged, or of another network.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    step, elapsed = _taken_up(network, optimiser, budget.checkpoint)
    clock, total, noted = time.monotonic(), 0.0, 0
    network.train()
    while True:
        spent = step / budget.steps if budget.steps else elapsed / (60 * budget.minutes)
        if spent >= 1:
            break
        rate = min(1.0, (step + 1) / WARM_UP_STEPS)
        rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * spent))
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * rate
        value = loss(step)
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        now = time.monotonic()
        step, elapsed, clock = step + 1, elapsed + now - clock, now
        total, noted = total + float(value.detach()), noted + 1
        if budget.log and step % budget.log_every == 0:
            budget.log(budget.checkpoint.stem, min(1.0, spent), total / noted)
            total, noted = 0.0, 0
        if step % CHECKPOINT_EVERY == 0:
            _keep(network, optimiser, budget.checkpoint, step, elapsed)
    _keep(network, optimiser, budget.checkpoint, step, elapsed)
    network.eval()


def _keep(
    network: nn.Module, optimiser: torch.optim.Optimizer, file: Path, step: int, elapsed: float
) -> None:
    state = {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "elapsed": elapsed,
    }
    part = file.with_suffix(".part")
    torch.save(state, part)
    part.replace(file)


def _taken_up(
    network: nn.Module, optimiser: torch.optim.Optimizer, file: Path
) -> tuple[int, float]:
    """Steps and seconds of the run in a checkpoint, taken up; (0, 0) where there is none."""
    if not file.exists():
        return 0, 0.0
    try:
        # Only plain values and tensors: a checkpoint can run no code.
        state = torch.load(file, map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        return int(state["step"]), float(state["elapsed"])
    except Exception as error:  # a damaged file fails in many ways
        raise CodecError(
            f"{shown(file)}: the checkpoint cannot be read ({type(error).__name__}); "
            "delete it to start anew"
        ) from error
