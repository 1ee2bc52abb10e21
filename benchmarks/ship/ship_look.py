"""Train the describer `look`, and freeze it.

    python -m benchmarks.ship.ship_look train --pictures luma.npy --work runs/look --minutes 60
    python -m benchmarks.ship.ship_look code --pictures luma.npy --work runs/look --patches DIR \
        --minutes 20
    python -m benchmarks.ship.ship_look freeze --pictures luma.npy --work runs/look \
        --patches DIR -o src/kinpack/describers/look.kine

Pictures are those of `look_pictures.py`, patches those of `benchmarks.lattice.training_patches`.
First the form is trained, then with it the code, which draws; either resumes where it was. When it
is frozen, longer codes are learned, and the drawing goes on until it is done.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kinpack.describers.describer import PLACEHOLDER, Describer
from kinpack.describers.fitting import Fitting
from kinpack.describers.given_vectors import COMPONENTS
from kinpack.errors import KinpackError
from kinpack.learn.freezing.onnx_graph import float_graph
from kinpack.learn.freezing.traced_graph import traced_graph
from kinpack.learn.look.books import look_books
from kinpack.learn.look.code import BOOKS, LookCode, learn_placeholder, small
from kinpack.learn.look.networks import SIDE, FormModel, LookNetwork
from kinpack.learn.look.training import LookTraining, code_run, look_run
from kinpack.learn.look.views import clean_view
from kinpack.learn.training.loop import read_checkpoint
from kinpack.networks.container import DESCRIBER_FILE, Container

SHARES = (("patches-64", 17_000), ("thumbnails-32", 40_000))
GREY = 14_000
"""Pictures that are drawn of their codes: of each file, and of the luma ones."""
CODE_RATE = 6e-4
"""Learning rate of the code, whose form is trained already."""
DECODER_STEPS = 8000
BEGUN_FROM = 20_000
"""Pictures that books begin with."""
DESCRIPTION = {
    "name": "look",
    "version": 1,
    "side": SIDE,
    "mirrored": False,
    "turned": True,
    **Fitting(enlarge="smooth").to_dict(),
    "licence": "Apache-2.0 (this file: weights and words, no picture)",
    "data": "photographs of BSDS500 train, clothing-dataset-small, Houses-dataset, "
    "imagenet-sample-images, imagen and Yale faces (research use), CIFAR-10 train, Noto emoji, and "
    "rendered pages, screens, drawings, fields and cells; no labels",
    "command": "python -m benchmarks.ship.ship_look train, then code, then freeze",
}


def train(arguments: argparse.Namespace) -> None:
    """Train until the budget is spent."""
    torch.set_num_threads(1)
    luma = np.load(arguments.pictures, mmap_mode="r")
    training = LookTraining(minutes=arguments.minutes)
    look_run(luma, training, arguments.work, told).finish()


def in_colour(arguments: argparse.Namespace) -> NDArray[np.uint8]:
    """Pictures (n, 32, 32, 3), uint8, that are drawn of their codes."""
    found = []
    for name, count in SHARES:
        pictures = np.load(arguments.patches / f"{name}.npy", mmap_mode="r")[:count]
        found.append(halved(pictures) if pictures.shape[1] == 2 * SIDE else pictures)
    luma = np.load(arguments.pictures, mmap_mode="r")[:GREY]
    found.append(np.repeat(halved(luma[..., None]), 3, axis=3))
    return np.concatenate(found)


def halved(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures (n, 2s, 2s, c) by area to (n, s, s, c)."""
    n, side, _, channels = pictures.shape
    cells = pictures.reshape(n, side // 2, 2, side // 2, 2, channels)
    means: NDArray[np.float32] = cells.mean((2, 4), dtype=np.float32)
    return np.rint(means).astype(np.uint8)


def code_of(arguments: argparse.Namespace, colours: NDArray[np.uint8]) -> LookCode:
    """The code to begin with: of the form that is trained, and of pictures of all sorts."""
    model = FormModel()
    model.load_state_dict(read_checkpoint(arguments.work / "last.ckpt")["average"])
    chosen = np.random.default_rng(0).permutation(len(colours))[:BEGUN_FROM]
    begun = torch.from_numpy(colours[np.sort(chosen)]).permute(0, 3, 1, 2).float() / 255
    luma = np.load(arguments.pictures, mmap_mode="r")[-BEGUN_FROM:]
    return LookCode(model.form, clean_view(torch.from_numpy(luma)[:, None].float() / 255), begun)


def train_code(arguments: argparse.Namespace) -> None:
    """Train the code until the budget is spent."""
    torch.set_num_threads(1)
    colours = in_colour(arguments)
    luma = np.load(arguments.pictures, mmap_mode="r")
    training = LookTraining(minutes=arguments.minutes, learning_rate=CODE_RATE)
    code_run(code_of(arguments, colours), luma, colours, training, arguments.work, told).finish()


def told(line: dict[str, float]) -> None:
    """Print a line of the log."""
    print(" ".join(f"{key} {value:.4f}" for key, value in line.items()), flush=True)


def freeze(arguments: argparse.Namespace) -> None:
    """Learn longer codes, and write the file."""
    torch.set_num_threads(1)
    colours = in_colour(arguments)
    code = code_of(arguments, colours)
    first = read_checkpoint(arguments.work / "last.ckpt")
    state = read_checkpoint(arguments.work / "code.ckpt")
    code.load_state_dict(state["average"])
    code.eval()
    luma = np.load(arguments.pictures, mmap_mode="r")[-BEGUN_FROM:]
    views = clean_view(torch.from_numpy(luma)[:, None].float() / 255)
    pictures = torch.from_numpy(colours).permute(0, 3, 1, 2)
    with torch.no_grad():
        forms = torch.cat([code.form(part) for part in torch.split(views, 512)]).numpy()
        parts = [part.float() / 255 for part in torch.split(pictures, 512)]
        words = torch.cat([code.words(part) for part in parts]).numpy()
        drawn = torch.cat([small(part) for part in parts]).numpy()
    learn_placeholder(code.placeholder, words, drawn, steps=DECODER_STEPS)
    header = {
        **DESCRIPTION,
        "steps": first["step"] + state["step"],
        "minutes": round((first["seconds"] + state["seconds"]) / 60, 1),
    }
    blobs = {
        "network": traced_graph(LookNetwork(code.form).eval(), side=SIDE),
        "decoder": float_graph(
            code.placeholder.layers,
            inputs=["n", BOOKS * COMPONENTS],
            outputs=["n", 3 * PLACEHOLDER**2],
        ),
    }
    arrays = look_books(code, forms)
    made = Describer.from_container(Container(header, blobs, arrays, kind=DESCRIBER_FILE))
    part = arguments.output.with_suffix(".part")
    part.write_bytes(made.to_bytes())
    part.replace(arguments.output)
    codes = made.quantiser.encode(made.describe(colours[:2000]))
    print(f"{arguments.output.name}: {made.n_bytes:,} bytes, {made.bits_used(codes):.1f} bits")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Train and freeze look.")
    commands = parser.add_subparsers(dest="command", required=True)
    doing = {"train": train, "code": train_code, "freeze": freeze}
    training, coding, freezing = (commands.add_parser(name) for name in doing)
    for command in (training, coding):
        command.add_argument("--minutes", type=float, default=60.0, help="of processor time")
    for command in (coding, freezing):
        command.add_argument("--patches", type=Path, required=True)
    freezing.add_argument("-o", "--output", type=Path, required=True)
    for command in (training, coding, freezing):
        command.add_argument("--pictures", type=Path, required=True)
        command.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        doing[arguments.command](arguments)
    except KinpackError as error:
        sys.exit(f"ship_look: {error}")


if __name__ == "__main__":
    main()
