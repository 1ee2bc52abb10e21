"""Training: a seed repeats, an interrupted run goes on as if it had not been, damage is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from kinpack.errors import CodecError
from kinpack.learn.models.config import DEFAULT_STEPS, NetworkConfig, Step, TrainingConfig
from kinpack.learn.models.model import CodecModel
from kinpack.learn.training.loop import Budget, Log, TrainingRun
from kinpack.learn.training.patches import PatchSampler
from kinpack.learn.training.training import train

pytestmark = pytest.mark.learn

NETWORK = NetworkConfig(
    wide=4,
    mid=4,
    latent=6,
    bottleneck_wide=4,
    bottleneck_mid=4,
    context=4,
    code_context=4,
    M=4,
    K=4,
    code_dim=2,
    steps=(Step(0, 4, 0), Step(0, 4, 1), Step(4, 6, -1)),
)


def sampler(seed: int = 0) -> PatchSampler:
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 256, (36, 40, 3), dtype=np.uint8) for _ in range(12)]
    images += [rng.integers(0, 256, (64, 70, 3), dtype=np.uint8) for _ in range(4)]
    return PatchSampler(images, labels=[i % 3 for i in range(16)], seed=seed)


def run(
    folder: Path,
    *,
    steps: int | None = 6,
    log_line: Log | None = None,
    network: NetworkConfig = NETWORK,
    **training: Any,
) -> CodecModel:
    config = TrainingConfig(**{"steps": steps, "batch": 8, "checkpoint_every": 2, **training})
    return train(
        sampler(config.seed),
        network=network,
        training=config,
        folder=folder,
        threads=1,
        log_line=log_line,
        log_every=1,
    )


def state(model: CodecModel) -> dict[str, Tensor]:
    assert not model.training
    return model.state_dict()


def same(first: CodecModel, second: CodecModel) -> bool:
    a, b = state(first), state(second)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class PowerCutError(Exception):
    """Ends a run at once."""


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[CodecModel, list[dict[str, float]]]:
    lines: list[dict[str, float]] = []
    model = run(tmp_path_factory.mktemp("unbroken"), log_line=lines.append, alignment=0.3)
    return model, lines


@pytest.mark.slow
def test_a_seed_repeats_bit_for_bit(unbroken: Any, tmp_path: Path) -> None:
    model, lines = unbroken
    again: list[dict[str, float]] = []
    assert same(run(tmp_path / "a", log_line=again.append, alignment=0.3), model)
    assert [line["loss"] for line in again] == [line["loss"] for line in lines]
    assert not same(run(tmp_path / "b", alignment=0.3, seed=1), model)
    # Labels count: without the alignment another model is learned.
    assert not same(run(tmp_path / "c"), model)


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [1, 2, 3, 5])
def test_a_resumed_run_equals_an_unbroken_one(unbroken: Any, tmp_path: Path, stop_at: int) -> None:
    model, lines = unbroken

    def cut(line: dict[str, float]) -> None:
        if line["step"] == stop_at:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        run(tmp_path, log_line=cut, alignment=0.3)
    assert (tmp_path / "last.ckpt").exists() == (stop_at >= 2)
    rest: list[dict[str, float]] = []
    assert same(run(tmp_path, log_line=rest.append, alignment=0.3), model)
    first = stop_at // 2 * 2  # the last checkpoint
    assert [line["step"] for line in rest] == list(range(first + 1, 7))
    assert [line["loss"] for line in rest] == [line["loss"] for line in lines[first:]]


def test_the_log(unbroken: Any) -> None:
    _, lines = unbroken
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["progress"] for line in lines] == pytest.approx([i / 6 for i in range(1, 7)])
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    for line in lines:
        assert line["bpp"] > 0
        assert line["mse"] > 0
        assert 1 <= line["perplexity"] <= 4
        assert all(np.isfinite(value) for value in line.values())


def test_log_lines_are_means_over_their_steps(unbroken: Any, tmp_path: Path) -> None:
    lines: list[dict[str, float]] = []
    config = TrainingConfig(steps=6, batch=8, alignment=0.3)
    train(
        sampler(),
        network=NETWORK,
        training=config,
        folder=tmp_path,
        threads=1,
        log_line=lines.append,
        log_every=3,
    )
    single = [line["mse"] for line in unbroken[1]]
    assert [line["step"] for line in lines] == [3, 6]
    for i, line in enumerate(lines):
        assert line["mse"] == pytest.approx(sum(single[3 * i : 3 * i + 3]) / 3, rel=1e-6)


def test_a_finished_run_is_not_run_again(unbroken: Any, tmp_path: Path) -> None:
    model = run(tmp_path)
    lines: list[dict[str, float]] = []
    assert same(run(tmp_path, log_line=lines.append), model)
    assert same(run(tmp_path, steps=3, log_line=lines.append), model)
    assert lines == []


def test_a_larger_budget_goes_on(tmp_path: Path) -> None:
    short = run(tmp_path, steps=3)
    lines: list[dict[str, float]] = []
    assert not same(run(tmp_path, steps=5, log_line=lines.append), short)
    assert [line["step"] for line in lines] == [4, 5]


def test_a_budget_of_minutes_ends(tmp_path: Path) -> None:
    lines: list[dict[str, float]] = []
    run(tmp_path, steps=None, minutes=0.005, log_line=lines.append)
    assert lines[-1]["progress"] == 1
    assert lines[-1]["seconds"] >= 0.3
    assert all(line["progress"] < 1 for line in lines[:-1])
    spent: list[dict[str, float]] = []
    run(tmp_path, steps=None, minutes=0.005, log_line=spent.append)
    assert spent == []


@pytest.mark.slow
def test_the_learning_rate_warms_up_and_decays(tmp_path: Path) -> None:
    """Under a gradient that never changes Adam moves a weight by the learning rate each step."""
    weight = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.zeros_(weight.weight)
    budget = Budget(
        checkpoint=tmp_path / "run.ckpt",
        minutes=1,
        steps=4000,
        learning_rate=1e-3,
        warm_up=200,
        decay_from=0.5,
    )
    run = TrainingRun(weight, lambda step: {"loss": -weight.weight.sum()}, budget)
    places = [0.0]
    while run.progress < 1:
        run.advance()
        places.append(float(weight.weight.detach()))
    rates = np.diff(places)
    assert rates[0] == pytest.approx(1e-3 / 200, rel=1e-5)
    assert rates[[199, 1000, 2000]] == pytest.approx(1e-3, rel=1e-5)
    assert rates[3000] == pytest.approx(0.505e-3, rel=1e-3)
    assert rates[3999] == pytest.approx(0.01e-3, rel=0.01)


def test_damaged_and_foreign_checkpoints_are_told(tmp_path: Path) -> None:
    run(tmp_path, steps=2)
    last = tmp_path / "last.ckpt"
    whole = last.read_bytes()
    wider = NetworkConfig.from_dict({**NETWORK.to_dict(), "wide": 8})
    with pytest.raises(CodecError, match="networks of other sizes"):
        run(tmp_path, network=wider)
    for damaged in (b"", b"no checkpoint", whole[: len(whole) // 2]):
        last.write_bytes(damaged)
        with pytest.raises(CodecError, match=r"last\.ckpt: .*read"):
            run(tmp_path)


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    import pickle

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"state_dict": Trap()}, tmp_path / "last.ckpt", pickle_module=pickle)
    with pytest.raises(CodecError, match="cannot be read"):
        run(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_configurations_round_trip() -> None:
    import json

    for network in (NetworkConfig(), NETWORK):
        plain = json.loads(json.dumps(network.to_dict()))
        assert NetworkConfig.from_dict(plain) == network
    training = TrainingConfig(minutes=3.5, alignment=0.2)
    assert TrainingConfig.from_dict(json.loads(json.dumps(training.to_dict()))) == training
    assert NetworkConfig.from_dict({}).steps == DEFAULT_STEPS
    for cls in (NetworkConfig, TrainingConfig):
        with pytest.raises(CodecError, match="no field colour"):
            cls.from_dict({"colour": 3})


@pytest.mark.parametrize(
    "values",
    [
        {"steps": (Step(0, 128, 0),)},
        {"steps": (Step(0, 128, -1), Step(0, 1, 0))},
        {"steps": (Step(100, 228, -1),)},
        {"steps": (Step(0, 128, 0), Step(0, 128, 2))},
        {"steps": ()},
        {"latent": 0, "steps": ()},
        {"latent": 200, "steps": (Step(0, 200, -1),)},
    ],
)
def test_networks_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(CodecError):
        NetworkConfig(**values)


@pytest.mark.parametrize("steps", [[{"start": 0}], [{"begin": 0}], [3], 7, []])
def test_unreadable_steps_are_refused(steps: Any) -> None:
    with pytest.raises(CodecError):
        NetworkConfig.from_dict({"steps": steps})


@pytest.mark.parametrize(
    "values",
    [
        {"quality_low": 0},
        {"quality_high": 100},
        {"quality_low": 60, "quality_high": 50},
        {"batch": 6},
        {"batch": 0},
        {"steps": 0},
        {"minutes": 0.0},
        {"seed": -1},
        {"seed": 1 << 32},
    ],
)
def test_trainings_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(CodecError):
        TrainingConfig(**values)
