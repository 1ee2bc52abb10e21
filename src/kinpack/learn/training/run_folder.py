"""The folder of a run's checkpoints, and whose they are."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kinpack.errors import CodecError, shown
from kinpack.learn.models.config import TrainingConfig
from kinpack.learn.training.start_file import Start

_RUN = "run.json"


def identity(
    data: Sequence[Mapping[str, Any]],
    network: Mapping[str, Any],
    training: TrainingConfig,
    start: Start | None,
    held_out: int,
) -> dict[str, Any]:
    """What two runs share if one may go on from the other's checkpoint, as JSON values."""
    run: dict[str, Any] = {"data": data, "held out": held_out}
    run["start"] = start.codec_id if start else None
    run |= {f"network.{key}": value for key, value in network.items()}
    run |= {f"training.{key}": value for key, value in training.to_dict().items()}
    for budget in ("minutes", "steps", "checkpoint_every"):
        del run[f"training.{budget}"]
    plain: dict[str, Any] = json.loads(json.dumps(run))
    return plain


def take_up(folder: Path, run: Mapping[str, Any]) -> None:
    """See that a folder holds no run, or this one, and note it there."""
    note = folder / _RUN
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place in (folder, *folder.iterdir()):  # what is written there, libraries write
            if place.is_symlink():
                raise CodecError(
                    f"{shown(place)}: is a link, and checkpoints are written through none; remove "
                    "it, or choose another folder"
                )
        if not note.exists():
            part = folder / f".{uuid.uuid4().hex}.part"
            with part.open("x") as file:
                file.write(json.dumps(run, indent=2) + "\n")
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
