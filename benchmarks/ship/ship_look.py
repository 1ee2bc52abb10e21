"""Train the describer `look`, and freeze it.

    python -m benchmarks.ship.ship_look train --pictures luma.npy --work runs/look --minutes 60
    python -m benchmarks.ship.ship_look freeze --pictures luma.npy --work runs/look \
        --patches DIR -o src/kinpack/describers/look.kine

Pictures are those of `look_pictures.py`, patches those of `benchmarks.lattice.training_patches`.
Training resumes where it was. Books and the decoder are learned from both when it is frozen.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kinpack.describers.describer import Describer
from kinpack.errors import KinpackError
from kinpack.learn.freezing.onnx_graph import float_graph
from kinpack.learn.freezing.traced_graph import traced_graph
from kinpack.learn.look.books import look_books
from kinpack.learn.look.networks import SIDE, FormModel, LookNetwork
from kinpack.learn.look.placeholder import learn_placeholder
from kinpack.learn.look.training import LookTraining, look_run
from kinpack.learn.training.loop import read_checkpoint
from kinpack.networks.container import DESCRIBER_FILE, Container

SHARES = (("patches-64", 14_000), ("thumbnails-32", 10_000))
GREY = 14_000
"""Pictures that books and decoder are learned from: of each file, and of the luma ones."""
DECODER_STEPS = 6000
DESCRIPTION = {
    "name": "look",
    "version": 1,
    "side": SIDE,
    "mirrored": False,
    "turned": True,
    "licence": "Apache-2.0 (this file: weights and words, no picture)",
    "data": "photographs of BSDS500 train, clothing-dataset-small, Houses-dataset, "
    "imagenet-sample-images and imagen (research use), CIFAR-10 train, Noto emoji, and rendered "
    "pages, screens, drawings, fields and cells; no labels",
    "command": "python -m benchmarks.ship.ship_look train, then freeze",
}


def train(arguments: argparse.Namespace) -> None:
    """Train until the budget is spent."""
    torch.set_num_threads(1)
    luma = np.load(arguments.pictures, mmap_mode="r")
    training = LookTraining(minutes=arguments.minutes)

    def log(line: dict[str, float]) -> None:
        print(" ".join(f"{key} {value:.4f}" for key, value in line.items()), flush=True)

    look_run(luma, training, arguments.work, log).finish()


def in_colour(arguments: argparse.Namespace) -> NDArray[np.float32]:
    """Pictures (n, 3, 32, 32), 0 to 1, that books and decoder are learned from."""
    found = []
    for name, count in SHARES:
        pictures = np.load(arguments.patches / f"{name}.npy", mmap_mode="r")[:count]
        found.append(halved(pictures) if pictures.shape[1] == 2 * SIDE else pictures / 255)
    luma = np.load(arguments.pictures, mmap_mode="r")[:GREY]
    found.append(np.repeat(halved(luma[..., None]), 3, axis=3))
    return np.concatenate(found).transpose(0, 3, 1, 2).astype(np.float32)


def halved(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pictures (n, 2s, 2s, c) by area to (n, s, s, c), 0 to 1."""
    n, side, _, channels = pictures.shape
    cells = pictures.reshape(n, side // 2, 2, side // 2, 2, channels)
    means: NDArray[np.float64] = cells.mean((2, 4)) / 255
    return means


@torch.no_grad()
def latents_of(network: LookNetwork, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Latents (n, E) of pictures (n, 3, 32, 32), 0 to 1."""
    parts = [network(torch.from_numpy(part)) for part in np.array_split(pictures, 64)]
    return torch.cat(parts).numpy()


def freeze(arguments: argparse.Namespace) -> None:
    """Learn books and decoder, and write the file."""
    torch.set_num_threads(1)
    state = read_checkpoint(arguments.work / "last.ckpt")
    model = FormModel()
    model.load_state_dict(state["average"])
    network = LookNetwork(model.form).eval()
    pictures = in_colour(arguments)
    latents = latents_of(network, pictures)
    arrays = look_books(latents)
    header = {**DESCRIPTION, "steps": state["step"], "minutes": round(state["seconds"] / 60, 1)}
    blobs = {"network": traced_graph(network, side=SIDE)}
    plain = Describer.from_container(Container(header, blobs, arrays, kind=DESCRIBER_FILE))
    words = plain.quantiser.decode(plain.quantiser.encode(plain.projected(latents)))
    small = pictures.reshape(len(pictures), 3, SIDE // 2, 2, SIDE // 2, 2).mean((3, 5))
    decoder = learn_placeholder(words, small, steps=DECODER_STEPS)
    numbers = small[0].size
    blobs["decoder"] = float_graph(
        decoder.layers, inputs=["n", words.shape[1]], outputs=["n", numbers]
    )
    whole = Describer.from_container(Container(header, blobs, arrays, kind=DESCRIBER_FILE))
    whole.placeholder(whole.quantiser.encode(plain.projected(latents[:1])))
    part = arguments.output.with_suffix(".part")
    part.write_bytes(whole.to_bytes())
    part.replace(arguments.output)
    codes = whole.quantiser.encode(whole.projected(latents))
    print(f"{arguments.output.name}: {whole.n_bytes:,} bytes, {whole.bits_used(codes):.1f} bits")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Train and freeze look.")
    commands = parser.add_subparsers(dest="command", required=True)
    training, freezing = commands.add_parser("train"), commands.add_parser("freeze")
    training.add_argument("--minutes", type=float, default=60.0, help="of processor time")
    freezing.add_argument("--patches", type=Path, required=True)
    freezing.add_argument("-o", "--output", type=Path, required=True)
    for command in (training, freezing):
        command.add_argument("--pictures", type=Path, required=True)
        command.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        (train if arguments.command == "train" else freeze)(arguments)
    except KinpackError as error:
        sys.exit(f"ship_look: {error}")


if __name__ == "__main__":
    main()
