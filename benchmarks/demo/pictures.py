"""The demo's pictures: crops and reductions of the photographs in scikit-image's wheel.

scikit-image is installed without its dependencies and never imported: its sample photographs are
read by path. docs/demo.md says where each photograph comes from and under which terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

#: label -> file in ``skimage/data``: the photographs there that are CC0, in the public domain or
#: without known copyright restrictions by scikit-image's own documentation.
PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "bricks": "brick.png",
    "cameraman": "camera.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "galaxies": "hubble_deep_field.jpg",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "tissue": "ihc.png",
}


@dataclass(frozen=True)
class Recipe:
    """How thumbnails are cut from photographs: the same recipe gives the same pixels.

    Attributes:
        per_photograph: thumbnails cut from each photograph.
        side: width and height of a thumbnail, in pixels.
        smallest_crop: side of the smallest square that is cut, in the photograph's pixels; at
            least ``side``, so that thumbnails are only ever reductions.
        seed: seed of the places and sizes of the crops.
    """

    per_photograph: int = 130
    side: int = 64
    smallest_crop: int = 96
    seed: int = 2022


def photograph_folder() -> Path:
    """Folder of the sample photographs in the installed scikit-image, found without importing it.

    Raises:
        FileNotFoundError: scikit-image is not installed in this environment.
    """
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "scikit-image is not installed: pip install --no-deps -c constraints.txt scikit-image"
        )
    return Path(spec.origin).parent / "data"


def thumbnails(
    photograph: Image.Image, recipe: Recipe, rng: np.random.Generator
) -> Iterator[Image.Image]:
    """Square crops of a photograph, of sizes even in the logarithm, reduced with antialiasing."""
    shorter = min(photograph.size)
    low, high = np.log(min(recipe.smallest_crop, shorter)), np.log(shorter)
    for _ in range(recipe.per_photograph):
        crop = int(np.exp(rng.uniform(low, high)))
        left = int(rng.integers(0, photograph.width - crop + 1))
        top = int(rng.integers(0, photograph.height - crop + 1))
        yield photograph.resize(
            (recipe.side, recipe.side),
            Image.Resampling.LANCZOS,
            box=(left, top, left + crop, top + crop),
            reducing_gap=3.0,
        )


def write_pictures(folder: Path, recipe: Recipe | None = None) -> int:
    """Write the thumbnails as ``folder/label/number.png``.

    Args:
        folder: where to write; made if missing, files of the same names are replaced.
        recipe: how to cut; the default gives 12 x 130 thumbnails of 64 x 64 pixels.

    Returns:
        The number of thumbnails written.
    """
    recipe = recipe or Recipe()
    source = photograph_folder()
    count = 0
    for number, (label, name) in enumerate(sorted(PHOTOGRAPHS.items())):
        rng = np.random.default_rng([recipe.seed, number])
        (folder / label).mkdir(parents=True, exist_ok=True)
        with Image.open(source / name) as photograph:
            # Pixels only: a colour profile or a camera's notes would weigh on some formats' files.
            pixels = Image.fromarray(np.asarray(photograph))
        for index, thumbnail in enumerate(thumbnails(pixels, recipe, rng)):
            thumbnail.save(folder / label / f"{index:03d}.png")
            count += 1
    return count
