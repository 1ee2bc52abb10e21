"""Train the describer `photo`, and freeze it.

    python -m benchmarks.ship.ship_photo train --work runs/photo --minutes 60
    python -m benchmarks.ship.ship_photo freeze --work runs/photo --lite0 runs/photo/lite0.kine \
        -o src/kinpack/describers/photo.kine

The folder holds what `photo_pictures.py` made. Training resumes where it was. The words of the
teacher, lite0, are those of its student, whose latents are to be the teacher's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.ship.ship_look import told
from kinpack.describers.describer import Describer
from kinpack.errors import KinpackError
from kinpack.learn.freezing.traced_graph import traced_graph
from kinpack.learn.lite.books import latent_books
from kinpack.learn.photo.networks import FITTING, SIDE, PhotoNetwork
from kinpack.learn.photo.training import PhotoTraining, photo_run
from kinpack.learn.training.loop import read_checkpoint
from kinpack.networks.container import DESCRIBER_FILE, Container

BOOKS_OF = 20_000
"""Pictures that books are learned of."""
_RUN = 256  # pictures at a time
DESCRIPTION = {
    "name": "photo",
    "version": 1,
    "side": SIDE,
    "mirrored": False,
    **FITTING.to_dict(),
    "licence": "Apache-2.0 (this file: weights and words, no picture); words: see notices",
    "data": "learned of what lite0 (EfficientNet-Lite0, Apache-2.0, (c) 2020 ML Illustrated) says "
    "of photographs of BSDS500 train, clothing-dataset-small, Houses-dataset, "
    "imagenet-sample-images and imagen (research use), CIFAR-10 train and Noto emoji; no labels",
    "command": "python -m benchmarks.ship.ship_photo train, then freeze",
}


def train(arguments: argparse.Namespace) -> None:
    """Train until the budget is spent."""
    torch.set_num_threads(1)
    pictures = np.load(arguments.work / "pictures.npy", mmap_mode="r")
    latents = np.load(arguments.work / "latents.npy")
    training = PhotoTraining(minutes=arguments.minutes)
    photo_run(pictures, latents, training, arguments.work, told).finish()


def freeze(arguments: argparse.Namespace) -> None:
    """Learn books, and write the file."""
    torch.set_num_threads(1)
    state = read_checkpoint(arguments.work / "last.ckpt")
    network = PhotoNetwork()
    network.load_state_dict(state["average"])
    network.eval()
    pictures = np.load(arguments.work / "pictures.npy", mmap_mode="r")[:BOOKS_OF]
    parts = torch.split(torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2), _RUN)
    with torch.inference_mode():
        latents = torch.cat([network(part.float() / 255) for part in parts]).numpy()
    teacher = Describer.load(arguments.lite0).container
    header = {
        **DESCRIPTION,
        "steps": state["step"],
        "minutes": round(state["seconds"] / 60, 1),
    }
    blobs = {name: teacher.blobs[name] for name in ("words", "notices")}
    arrays = {name: teacher.arrays[name] for name in ("class_vectors", "class_biases")}
    made = Describer.from_container(
        Container(
            header,
            {"network": traced_graph(network, side=SIDE), **blobs},
            {**latent_books(latents), **arrays},
            kind=DESCRIBER_FILE,
        )
    )
    part = arguments.output.with_suffix(".part")
    part.write_bytes(made.to_bytes())
    part.replace(arguments.output)
    print(f"{arguments.output.name}: {made.n_bytes:,} bytes")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Train and freeze photo.")
    commands = parser.add_subparsers(dest="command", required=True)
    training, freezing = commands.add_parser("train"), commands.add_parser("freeze")
    training.add_argument("--minutes", type=float, default=60.0, help="of processor time")
    freezing.add_argument("--lite0", type=Path, required=True, help="the teacher's file")
    freezing.add_argument("-o", "--output", type=Path, required=True)
    for command in (training, freezing):
        command.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        {"train": train, "freeze": freeze}[arguments.command](arguments)
    except KinpackError as error:
        sys.exit(f"ship_photo: {error}")


if __name__ == "__main__":
    main()
