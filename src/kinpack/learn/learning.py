"""Learning a codec from collections of pictures, from their files to the codec file."""

from __future__ import annotations

import heapq
import json
import logging
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import kinpack
from kinpack.codec.causal_image import MOST_PIXELS
from kinpack.codec.codec import Codec
from kinpack.errors import CodecError, ImageError, SourceError
from kinpack.images import composite_on_white, load_image, shown, to_pil
from kinpack.items import Item, Source
from kinpack.learn.causal import CausalPlan, with_alpha, with_grey, with_rule
from kinpack.learn.config import NetworkConfig, TrainingConfig
from kinpack.learn.freeze import ESCAPE_PATCHES, freeze
from kinpack.learn.model import CodecModel
from kinpack.learn.patches import SMALL, PatchSampler
from kinpack.learn.start_file import Start
from kinpack.learn.training import Log, train

LONGEST_SIDE = 512
"""Longest side, in pixels, to which pictures are reduced before learning from them."""
MOST_IMAGES = 60_000
"""Most images that are held to learn from; of larger collections a sample is drawn."""
MOST_BYTES = 1_500_000_000
"""Most bytes that these may take in memory."""
CALIBRATION_PATCHES = 1024
FROM_A_START: Mapping[str, Any] = {"learning_rate": 4e-4, "decay_from": 0.2}
"""Training's values where weights are already good: small steps, falling early."""
HOLD_OUT_SHARE = 20
"""Of so many images at most one is held out."""
GREY_SHARE, ALPHA_SHARE = 0.6, 0.25
"""Shares of the budget for coding grey images, and alpha planes, pixel by pixel."""
LEAST_ALPHAS = 20
"""Alpha planes that are worth learning from."""
ALIGNMENT = 0.1
"""Weight of the alignment by class, where there are classes and none is given."""

_log = logging.getLogger(__name__)

_CALIBRATION_STEP = 1 << 40  # beyond all steps of training, so that its patches are others
_AT_ONCE = 256
_RUN = "run.json"


@dataclass(frozen=True, slots=True)
class Collection:
    """Images to learn from, held in memory.

    Attributes:
        images: uint8 (H, W, 3) each, sides up to ``LONGEST_SIDE``.
        items: that they were read from.
        grey: whether each is grey.
        alphas: uint8 (H, W) alpha plane of each; None where all of it is opaque.
        labels: class of each image, −1 where unknown.
        classes: what the classes are called, by number.
        broken: ids of pictures that were left out since they cannot be read.
    """

    images: list[NDArray[np.uint8]]
    items: list[Item]
    grey: list[bool]
    alphas: list[NDArray[np.uint8] | None]
    labels: list[int]
    classes: list[str]
    broken: list[str]


@dataclass(frozen=True)
class Read:
    """A picture as it is learned from.

    Attributes:
        image: uint8 (H, W, 3), laid over white.
        grey: whether it is grey.
        alpha: uint8 (H, W); None where all is opaque.
    """

    image: NDArray[np.uint8]
    grey: bool
    alpha: NDArray[np.uint8] | None

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.image.nbytes + (0 if self.alpha is None else self.alpha.nbytes)


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
    model: CodecModel


def learn_codec(
    sources: Sequence[Source],
    *,
    start: Start | None = None,
    network: NetworkConfig | None = None,
    training: TrainingConfig | None = None,
    work: str | os.PathLike[str],
    name: str,
    threads: int | None = None,
    use_labels: bool = True,
    skip_broken: bool = False,
    calibration: int = CALIBRATION_PATCHES,
    description: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
    log_line: Log | None = None,
    log_every: int = 20,
    hold_out: int = 0,
) -> Learned:
    """Learn a codec from collections of pictures.

    With at least two labels among the pictures, and ``use_labels``, the product code is aligned by
    class, with the weight ``training.alignment``, or 0.1 where that is 0. Where half of the
    pictures are grey, or some have alpha, a part of the budget goes into coding those pixel by
    pixel (`kinpack.learn.causal`).

    Args:
        sources: the collections; the labels of several are kept apart.
        start: weights to go on from; None starts from the block components of the pictures.
        network: sizes of the networks; None takes those of the start.
        training: budget, seed and weights.
        work: folder of the checkpoint, which is taken up where it is of the same run.
        name: of the codec.
        threads: for reading and for the arithmetic; None leaves what suits the machine.
        use_labels: whether images of one label are drawn together.
        skip_broken: whether pictures that cannot be read are left out; else the first one stops.
        calibration: patches to freeze the networks and to learn the frequency tables with.
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
    network = network or (start.network if start else NetworkConfig())
    training = training or TrainingConfig()
    folder = Path(work)
    found = read_collection(
        sources, seed=training.seed, threads=threads, skip_broken=skip_broken, progress=progress
    )
    training = replace(training, alignment=_alignment(training, found, use_labels))
    data = [{"name": _public(source.name), "images": len(source)} for source in sources]
    held = _held_out(len(found.images), hold_out, training.seed)
    _take_up(folder, _identity(data, network, training, start, len(held)))
    learned = [i for i in range(len(found.images)) if i not in held]
    sampler = PatchSampler(
        [found.images[i] for i in learned],
        labels=[found.labels[i] for i in learned],
        seed=training.seed,
    )
    patches = calibration_patches(sampler, n=calibration)
    shares = causal_shares(found)
    transform = replace(training, minutes=training.minutes * (1 - sum(shares.values())))
    try:
        model = train(
            sampler,
            network=network,
            training=transform,
            folder=folder,
            start=start.state if start else None,
            threads=threads,
            log_line=log_line and _scaled(log_line, 1 - sum(shares.values())),
            log_every=log_every,
        )
    except SystemExit as stop:
        if stop.code != 1:  # 1 is what lightning makes of Ctrl-C
            raise
        raise KeyboardInterrupt(
            f"the same command goes on from the last checkpoint, in {shown(folder)}"
        ) from stop
    spent = torch.load(folder / "last.ckpt", map_location="cpu", weights_only=True)
    header = {
        "name": name,
        "created": datetime.now(UTC).strftime("%Y-%m-%d"),
        "kinpack": kinpack.__version__,
        "torch": torch.__version__,
        "machine": _machine(),
        "seed": training.seed,
        "steps": int(spent["global_step"]),
        "minutes": round(float(spent["elapsed"]) / 60 + training.minutes * sum(shares.values()), 2),
        "images": len(learned),
        "held_out": len(held),
        "start": start.codec_id if start else None,
        "broken": len(found.broken),
        "data": data,
        "classes": len(found.classes),
        "training": training.to_dict(),
        "network": network.to_dict(),
        "causal": sorted(shares),
        **(description or {}),
    }
    codec = freeze(model, patches, description=header)
    codec = _with_causal(
        codec, found, learned, shares, training=training, folder=folder, log_line=log_line
    )
    return Learned(codec, [_original(found.items[i]) for i in sorted(held)], model)


def causal_shares(found: Collection) -> dict[str, float]:
    """Share of the budget that coding pixel by pixel gets, by what it is learned for."""
    small = [image.shape[0] * image.shape[1] <= MOST_PIXELS for image in found.images]
    grey = sum(grey and fits for grey, fits in zip(found.grey, small, strict=True))
    alphas = sum(a is not None and a.size <= MOST_PIXELS for a in found.alphas)
    shares = {}
    if 2 * grey >= len(found.images):
        shares["grey"] = GREY_SHARE
    if alphas >= LEAST_ALPHAS:
        shares["alpha"] = ALPHA_SHARE
    return shares


def _with_causal(
    codec: Codec,
    found: Collection,
    learned: Sequence[int],
    shares: Mapping[str, float],
    *,
    training: TrainingConfig,
    folder: Path,
    log_line: Log | None,
) -> Codec:
    """The codec with what is learned pixel by pixel."""
    spent = 1 - sum(shares.values())
    for name, share in shares.items():

        def log(
            run: str, part: float, loss: float, spent: float = spent, share: float = share
        ) -> None:
            if log_line:
                log_line({"step": 0, "bpp": loss, "progress": spent + share * part, "loss": loss})

        plan = CausalPlan(
            folder,
            minutes=training.minutes * share,
            steps=training.steps,
            seed=training.seed,
            quality_low=training.quality_low,
            quality_high=training.quality_high,
            log=log,
        )
        if name == "grey":
            images = [found.images[i][:, :, :1] for i in learned if found.grey[i]]
            codec = with_grey(codec, images, plan)
        else:
            planes = [plane for i in learned if (plane := found.alphas[i]) is not None]
            codec = with_alpha(codec, planes, plan)
        spent += share
    if not shares:
        return codec
    every = max(1, len(learned) // ESCAPE_PATCHES)
    return with_rule(codec, [_original(found.items[i]) for i in learned[::every]])


def _scaled(log_line: Log, share: float) -> Log:
    """A log whose progress counts for a share of the whole."""
    return lambda line: log_line({**line, "progress": share * line["progress"]})


def read_collection(
    sources: Sequence[Source],
    *,
    seed: int = 0,
    most_images: int = MOST_IMAGES,
    most_bytes: int = MOST_BYTES,
    threads: int | None = None,
    skip_broken: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Collection:
    """Read pictures to learn from; of too many, a sample without a bias, fixed by the seed.

    Transparent pictures are laid over white, grey ones become RGB, large ones are reduced.

    Args:
        sources: the collections.
        seed: of the sample.
        most_images: how many to keep.
        most_bytes: how much memory they may take.
        threads: to read with.
        skip_broken: whether pictures that cannot be read are left out; else the first one stops.
        progress: called with the number of images just read.

    Raises:
        SourceError: there is no image, or a source fails.
        ImageError: a picture cannot be read.
    """
    # Every picture draws a lot; those with the lowest ones are kept, so that one pass suffices.
    lots = np.random.default_rng((seed, 1))
    kept: list[tuple[float, int, Read, Item, str | None]] = []  # a heap, highest lot first
    n_bytes, highest = 0, 1.0
    broken: list[str] = []
    numbered = enumerate(_items(sources))
    with ThreadPoolExecutor(threads or min(4, os.cpu_count() or 1)) as pool:
        while chunk := list(islice(numbered, _AT_ONCE)):
            drawn = zip(lots.random(len(chunk)).tolist(), chunk, strict=True)
            wanted = [(lot, i, item, label) for lot, (i, (item, label)) in drawn if lot < highest]
            images = pool.map(_load, [item for _, _, item, _ in wanted])
            for (lot, i, item, label), image in zip(wanted, images, strict=True):
                if isinstance(image, ImageError):
                    if not skip_broken:
                        pool.shutdown(cancel_futures=True)
                        raise image
                    _log.warning("kinpack: left out: %s", image)
                    broken.append(item.id)
                    continue
                heapq.heappush(kept, (-lot, i, image, item, label))
                n_bytes += image.nbytes
                while len(kept) > most_images or (n_bytes > most_bytes and len(kept) > 1):
                    lot, _, image, _, _ = heapq.heappop(kept)
                    highest, n_bytes = -lot, n_bytes - image.nbytes
            if progress:
                progress(len(chunk))
    if not kept:
        names = ", ".join(source.name for source in sources) or "no source"
        raise SourceError(
            f"{names}: there is no picture to learn from; name a source that has some"
        )
    kept.sort(key=lambda one: one[1])
    classes = sorted({label for *_, label in kept if label is not None})
    number = {label: i for i, label in enumerate(classes)}
    return Collection(
        images=[read.image for _, _, read, _, _ in kept],
        items=[item for _, _, _, item, _ in kept],
        grey=[read.grey for _, _, read, _, _ in kept],
        alphas=[read.alpha for _, _, read, _, _ in kept],
        labels=[-1 if label is None else number[label] for *_, label in kept],
        classes=classes,
        broken=broken,
    )


def calibration_patches(
    sampler: PatchSampler, *, n: int = CALIBRATION_PATCHES
) -> NDArray[np.uint8]:
    """Draw the patches that a codec is frozen with; training never sees the same draws.

    Args:
        sampler: draws them; patches of 64×64 are cut in four.
        n: how many.

    Returns:
        (n, 3, 32, 32) uint8.
    """
    parts: list[NDArray[np.uint8]] = []
    for step in count(_CALIBRATION_STEP):
        patches, _ = sampler.batch(step, size=n // 8)
        tiles, side = patches.shape[2] // SMALL, SMALL
        cut = patches.reshape(len(patches), 3, tiles, side, tiles, side)
        parts.append(cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 3, side, side))
        if sum(map(len, parts)) >= n:
            break
    return np.ascontiguousarray(np.concatenate(parts)[:n])


def _items(sources: Sequence[Source]) -> Iterator[tuple[Item, str | None]]:
    """All items with their labels, those of several sources told apart."""
    for number, source in enumerate(sources):
        for item in source:
            label = item.label
            if label is not None and len(sources) > 1:
                label = f"{number}/{label}"
            yield item, label


def _load(item: Item) -> Read | ImageError:
    try:
        image = _original(item)
    except ImageError as error:
        return error
    alpha = image[:, :, 3].copy() if image.shape[2] == 4 else None
    if alpha is not None and (alpha == 255).all():
        alpha = None
    return Read(composite_on_white(image), image.shape[2] == 1, alpha)


def _original(item: Item) -> NDArray[np.uint8]:
    """A picture as it is read, reduced where it is large."""
    image = item.load()
    if max(image.shape[:2]) > LONGEST_SIDE:
        image = load_image(to_pil(image), size=LONGEST_SIDE, where=item.id)
    return image


def _public(name: str) -> str:
    """The name of a source without the folders of this machine above it."""
    on_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).exists()
    return name if on_hub else Path(name).name


def _alignment(training: TrainingConfig, found: Collection, use_labels: bool) -> float:
    if not use_labels or len(found.classes) < 2:
        return 0.0
    return training.alignment or ALIGNMENT


def _held_out(images: int, most: int, seed: int) -> set[int]:
    """Images to measure with: drawn by the seed, a twentieth at most."""
    n = min(most, images // HOLD_OUT_SHARE)
    return set(np.random.default_rng((seed, 2)).permutation(images)[:n].tolist())


def _identity(
    data: Sequence[Mapping[str, Any]],
    network: NetworkConfig,
    training: TrainingConfig,
    start: Start | None,
    held_out: int,
) -> dict[str, Any]:
    """What two runs share if one may go on from the other's checkpoint, as JSON values."""
    run: dict[str, Any] = {"data": data, "held out": held_out}
    run["start"] = start.codec_id if start else None
    run |= {f"network.{key}": value for key, value in network.to_dict().items()}
    run |= {f"training.{key}": value for key, value in training.to_dict().items()}
    for budget in ("minutes", "steps", "checkpoint_every"):
        del run[f"training.{budget}"]
    plain: dict[str, Any] = json.loads(json.dumps(run))
    return plain


def _take_up(folder: Path, run: Mapping[str, Any]) -> None:
    """See that a folder holds no run, or this one, and note it there."""
    note = folder / _RUN
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not note.exists():
            part = note.with_suffix(".part")
            part.write_text(json.dumps(run, indent=2) + "\n")
            part.replace(note)
        former = dict(json.loads(note.read_bytes()))
    except (OSError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CodecError(
            f"{shown(folder)}: cannot be used for checkpoints ({reason}); choose another folder"
        ) from error
    differing = [key for key in run if former.get(key) != run[key]]
    if differing:
        raise CodecError(
            f"{shown(folder)}: holds the checkpoint of a run with other {', '.join(differing)}; "
            "give what was given then, choose another folder, or remove this one"
        )


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
