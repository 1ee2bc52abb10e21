"""Learning a codec from collections of pictures, from their files to the codec file."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import kinpack
from kinpack.codec.causal.causal_image import MOST_PIXELS
from kinpack.codec.codec import Codec
from kinpack.errors import shown
from kinpack.learn.causal.learning import CausalPlan, with_alpha, with_grey
from kinpack.learn.collection import Collection, Read, original, read_collection
from kinpack.learn.forms import Network, Run, form_of, network_of
from kinpack.learn.freezing.classic_rule import with_rule
from kinpack.learn.lattice.config import LatticeConfig
from kinpack.learn.models.config import TrainingConfig
from kinpack.learn.training.loop import Log, read_checkpoint
from kinpack.learn.training.patches import PatchSampler
from kinpack.learn.training.run_folder import identity, take_up
from kinpack.learn.training.start_file import Start, shipped_start
from kinpack.learn.training.training import CHECKPOINT
from kinpack.sources.opening import Spec, open_source

CALIBRATION_PATCHES, PATCHES_PER_STEP, LEAST_PATCHES = 1024, 8, 64
"""Patches to freeze with: so many for each step of training, within these bounds."""
RULE_PICTURES = 160
"""Most pictures on which classic payloads are tried, to predict where they may win."""
FROM_A_START: Mapping[str, Any] = {"learning_rate": 4e-4, "decay_from": 0.2}
"""Training's values where weights are already good: small steps, falling early."""
HOLD_OUT_SHARE = 20
"""Images given for each one that is held out, at least."""
GREY_SHARE, ALPHA_SHARE = 0.6, 0.25
"""Shares of the budget for coding grey images, and alpha planes, pixel by pixel."""
LEAST_ALPHAS = 20
"""Alpha planes that are worth learning from."""


@dataclass(frozen=True)
class Learned:
    """What learning gives.

    Attributes:
        codec: the codec.
        held_out: images that it was not learned from, as they were read: grey, RGB or RGBA.
        model: the trained model that it was frozen from.
    """

    codec: Codec
    held_out: list[NDArray[np.uint8]]
    model: nn.Module


def learn_codec(
    sources: Sequence[Spec] | str | os.PathLike[str],
    *,
    start: Start | str | None = None,
    network: Network | None = None,
    training: TrainingConfig | None = None,
    work: str | os.PathLike[str],
    name: str,
    threads: int | None = None,
    skip_broken: bool = False,
    calibration: int = CALIBRATION_PATCHES,
    description: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
    log_line: Log | None = None,
    log_every: int = 20,
    hold_out: int = 0,
) -> Learned:
    """Learn a codec from collections of pictures.

    Where half of the pictures are grey, or some have alpha, a part of the budget goes into coding
    those pixel by pixel (`kinpack.learn.causal.learning`). Labels are not used.

    Args:
        sources: the collections, open or as ``open_source`` takes them, or the path of one.
        start: weights to go on from: those given, or those that ship under a name of ``STARTS``;
            None starts from the block components of the pictures.
        network: sizes of the networks, which say of which form the codec is; None takes those of
            the start, or of the form of the shipped codec.
        training: budget, seed and weights.
        work: folder of the checkpoint, which is taken up where it is of the same run.
        name: of the codec.
        threads: for reading and for the arithmetic; None leaves what suits the machine.
        skip_broken: whether pictures that cannot be read are left out; else the first one stops.
        calibration: most patches to freeze the networks and to learn the frequency tables with; a
            run of fewer than 128 steps takes fewer.
        description: further plain values for the codec's header, such as licences.
        progress: called with the number of images just read.
        log_line: called with means over the last ``log_every`` steps, and ``progress``, the share
            of the budget that is spent.
        log_every: steps between log lines.
        hold_out: most images to leave out of learning, a twentieth of the collection at most.

    Returns:
        The codec, whose header tells how it was made, and the images held out.

    Raises:
        SourceError: there is no image, or a source fails.
        ImageError: a picture cannot be read.
        CodecError: the folder holds the checkpoint of another run or cannot be written, or the
            networks cannot be frozen.
        KeyboardInterrupt: learning was interrupted; the checkpoint stays.
    """
    training = training or TrainingConfig()
    folder = Path(work)
    given = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    opened = [open_source(source) for source in given]
    found = read_collection(
        opened, seed=training.seed, threads=threads, skip_broken=skip_broken, progress=progress
    )
    data = [{"name": _public(source.name), "images": len(source)} for source in opened]
    if isinstance(start, str):
        start = shipped_start(start)
    network = network or (network_of(start) if start else LatticeConfig())
    form = form_of(network)
    held = _held_out(len(found.pictures), hold_out, training.seed)
    take_up(folder, identity(data, network.to_dict(), training, start, len(held)))
    learned = [one for i, one in enumerate(found.pictures) if i not in held]
    sampler = PatchSampler([one.image for one in learned], seed=training.seed)
    shares = causal_shares(found)
    transform = replace(training, minutes=training.minutes * (1 - sum(shares.values())))
    try:
        run = Run(
            sampler=sampler,
            training=transform,
            folder=folder,
            start=start,
            threads=threads,
            log=log_line and _part(log_line, 0, 1 - sum(shares.values())),
            log_every=log_every,
        )
        model = form.train(network, run)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            f"the same command goes on from the last checkpoint, in {shown(folder)}"
        ) from stop
    spent = read_checkpoint(folder / CHECKPOINT)
    steps = int(spent["step"])
    header = {
        "name": name,
        "created": datetime.now(UTC).strftime("%Y-%m-%d"),
        "kinpack": kinpack.__version__,
        "torch": torch.__version__,
        "machine": _machine(),
        "seed": training.seed,
        "steps": steps,
        "minutes": round(float(spent["seconds"]) / 60 + training.minutes * sum(shares.values()), 2),
        "images": len(learned),
        "held_out": len(held),
        "start": start.codec_id if start else None,
        "broken": len(found.broken),
        "data": data,
        "training": training.to_dict(),
        "network": network.to_dict(),
        "causal": sorted(shares),
        **(description or {}),
    }
    wanted = min(calibration, max(LEAST_PATCHES, PATCHES_PER_STEP * steps))
    codec = form.freeze(model, sampler, wanted, header)
    if shares:
        codec = _with_causal(
            codec, learned, shares, training=training, folder=folder, log_line=log_line
        )
    every = max(1, len(learned) // min(RULE_PICTURES, max(1, wanted // 4)))
    codec = with_rule(codec, [original(one.item) for one in learned[::every]])
    return Learned(codec, [original(found.pictures[i].item) for i in sorted(held)], model)


def causal_shares(found: Collection) -> dict[str, float]:
    """Share of the budget that coding pixel by pixel gets, by what it is learned for."""
    small = [one for one in found.pictures if one.image[:, :, 0].size <= MOST_PIXELS]
    grey = sum(one.grey for one in small)
    alphas = sum(one.alpha is not None for one in small)
    shares = {}
    if 2 * grey >= len(found.pictures):
        shares["grey"] = GREY_SHARE
    if alphas >= LEAST_ALPHAS:
        shares["alpha"] = ALPHA_SHARE
    return shares


def _with_causal(
    codec: Codec,
    learned: Sequence[Read],
    shares: Mapping[str, float],
    *,
    training: TrainingConfig,
    folder: Path,
    log_line: Log | None,
) -> Codec:
    """The codec with what is learned pixel by pixel."""
    spent = 1 - sum(shares.values())
    for name, share in shares.items():
        plan = CausalPlan(
            replace(training, minutes=training.minutes * share),
            folder,
            log=log_line and _part(log_line, spent, share),
        )
        if name == "grey":
            images = [one.image[:, :, :1] for one in learned if one.grey]
            codec = with_grey(codec, images, plan)
        else:
            planes = [one.alpha for one in learned if one.alpha is not None]
            codec = with_alpha(codec, planes, plan)
        spent += share
    return codec


def _part(log_line: Log, before: float, share: float) -> Log:
    """A log of a part of the work; a loss that has no bits beside it is bits."""
    return lambda line: log_line(
        {"bpp": line["loss"], **line, "progress": before + share * line["progress"]}
    )


def _public(name: str) -> str:
    """The name of a source without the folders of this machine above it."""
    on_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).exists()
    return name if on_hub else Path(name).name


def _held_out(images: int, most: int, seed: int) -> set[int]:
    """Images to measure with: drawn by the seed, a twentieth at most."""
    n = min(most, images // HOLD_OUT_SHARE)
    return set(np.random.default_rng((seed, 2)).permutation(images)[:n].tolist())


def _machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{os.cpu_count()} × {model}"
