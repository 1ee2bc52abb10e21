"""The reader in JavaScript gives pictures the codes that Python gives them, and finds the same."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from fakes.fake_codec import FakeSource
from kinpack.archive.archive import Archive
from kinpack.describers.describer import Describer
from kinpack.describers.fitting import ENLARGEMENTS, FITS
from kinpack.networks.container import DESCRIBER_FILE, Container, read_container
from kinpack.pictures.images import Image
from tests.archive_checks import CODEC
from tests.javascript_runs import needs_node, run_jobs, value_of

pytestmark = [needs_node, pytest.mark.slow]

SIZES = [(1, 1), (7, 40), (33, 31), (32, 32), (64, 64), (90, 61), (150, 200)]


def picture(height: int, width: int, channels: int, seed: int) -> Image:
    """Blobs and noise, so that cells are of all levels."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 5, channels), np.uint8)
    smooth = np.stack(
        [
            np.asarray(PIL.Image.fromarray(small[:, :, c]).resize((width, height)))
            for c in range(channels)
        ],
        axis=2,
    )
    noise = rng.integers(-9, 10, smooth.shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def as_job(image: Image) -> dict[str, Any]:
    """A picture as a browser has it: red, green, blue and alpha."""
    plain = image.squeeze(2) if image.shape[2] == 1 else image
    data = np.asarray(PIL.Image.fromarray(plain).convert("RGBA"))
    height, width = image.shape[:2]
    return {"width": width, "height": height, "data": base64.b64encode(data.tobytes()).decode()}


def pictures() -> list[Image]:
    return [
        picture(height, width, channels, 10 * n + channels)
        for n, (height, width) in enumerate(SIZES)
        for channels in (1, 3, 4)
    ]


def fitted(describer: Describer, fit: str, enlarge: str) -> Describer:
    """A describer that fits pictures otherwise."""
    container = read_container(describer.to_bytes(), kind=DESCRIBER_FILE, where="a describer")
    header = {**container.header, "fit": fit, "enlarge": enlarge}
    return Describer.from_container(
        Container(header, container.blobs, container.arrays, kind=DESCRIBER_FILE)
    )


def agreement(path: Path, describers: dict[str, Describer]) -> dict[str, float]:
    """The share of equal sub-indices, by the names of the columns."""
    with Archive.create(path, CODEC, describer=dict(describers)) as archive:
        archive.add(FakeSource([(f"{n}", None, image) for n, image in enumerate(pictures()[:3])]))
    given = [as_job(image) for image in pictures()]
    jobs: list[dict[str, Any]] = [
        {"way": "codes", "where": path, "pictures": given, "codes": name} for name in describers
    ]
    shares = {}
    for (name, own), result in zip(describers.items(), run_jobs(jobs), strict=True):
        wanted = own.quantiser.encode(own.describe(pictures()))
        shares[name] = float((np.array(value_of(result)) == wanted).mean())
    return shares


def test_codes_are_those_of_python(tmp_path: Path) -> None:
    """A network is computed in floating point: a word of nearly the same distance may win."""
    shares = agreement(
        tmp_path / "a.kin", {name: Describer.load(name) for name in ("look", "photo", "classic")}
    )
    assert shares["classic"] == 1  # whose sums are integers
    assert min(shares.values()) > 0.998, shares


def test_pictures_are_fitted_as_the_file_says(tmp_path: Path) -> None:
    look = Describer.load("look")
    ways = {f"{fit}-{way}": fitted(look, fit, way) for fit in FITS for way in ENLARGEMENTS}
    shares = agreement(tmp_path / "a.kin", ways)
    assert min(shares.values()) > 0.998, shares


@pytest.mark.parametrize("name", ["look", "photo", "classic"])
def test_a_picture_finds_what_it_finds_in_python(tmp_path: Path, name: str) -> None:
    describer, images = Describer.load(name), pictures()
    columns = {name: describer}
    if name != "classic":
        columns[f"{name}-fine"] = describer.finer()
    path = tmp_path / "a.kin"
    with Archive.create(path, CODEC, describer=columns) as archive:
        archive.add(FakeSource([(f"{n}", None, image) for n, image in enumerate(images)]))
    sought = [np.ascontiguousarray(np.rot90(image)) for image in images[6:15]] + images[9:12]
    job = {"way": "searchPictures", "where": path, "pictures": list(map(as_job, sought)), "k": 8}
    (result,) = run_jobs([job])
    with Archive.open(path) as archive:
        for one, found in zip(sought, value_of(result), strict=True):
            hits = archive.search(one, 8, compare=0)
            assert [hit["id"] for hit in found] == [hit.id for hit in hits]
            told = [hit["distance"] for hit in found]
            np.testing.assert_allclose(told, [hit.distance for hit in hits], rtol=1e-3, atol=1e-4)


def test_a_damaged_describer_is_refused(tmp_path: Path) -> None:
    look = Describer.load("look")
    path = tmp_path / "a.kin"
    with Archive.create(path, CODEC, describer=look) as archive:
        archive.add(FakeSource([("a", None, picture(8, 8, 3, 1))]))
    file = next((path / "describers").iterdir())
    file.write_bytes(file.read_bytes()[:-40] + bytes(40))
    job = {"way": "codes", "where": path, "pictures": [as_job(picture(8, 8, 3, 1))]}
    (result,) = run_jobs([job])
    assert result["error"] == "ArchiveError"
