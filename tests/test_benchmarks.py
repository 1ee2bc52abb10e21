"""The benchmarks: small runs on pictures made here, and their arithmetic against plain loops."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from benchmarks.measuring import data, machine
from benchmarks.rates import measured_curves, rate_curves, rivals, sizes_plot
from benchmarks.scale import adding_to_many, mixed_folder, syncing
from benchmarks.speed import latency
from kinpack.archive.archive import Archive
from kinpack.codec.codec import Codec
from kinpack.errors import ImageError, SourceError
from kinpack.pictures.images import Image, to_pil
from kinpack.sources.items import Item
from kinpack.sources.opening import open_source

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PICTURES, SIDE = 8, 16


def picture(rng: np.random.Generator, side: int = 32, channels: int = 3) -> Image:
    """A smooth picture with an edge and some noise."""
    y, x = np.mgrid[:side, :side] / side
    angle, place = rng.uniform(0, 6.3), rng.uniform(0.3, 0.7)
    edge = (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5) + 0.5 > place) * 60.0
    tint = rng.uniform(20, 120, channels)
    light = 60 * x[..., None] * rng.uniform(0, 1, channels) + edge[..., None] + tint
    noisy = light + rng.normal(0, 6, (side, side, channels))
    return np.asarray(noisy.clip(0, 255).round(), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Small pictures in two folders."""
    for label in ("day", "night"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for number in range(PICTURES // 2):
            to_pil(picture(rng, SIDE)).save(tmp_path / "pictures" / label / f"{number}.png")
    return tmp_path / "pictures"


def run(script: str, *words: str | Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{script}", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_latency(folder: Path, tmp_path: Path) -> None:
    archive, output = tmp_path / "pictures.kin", tmp_path / "latency.json"
    with Archive.create(archive, Codec.load("classic")) as new:
        new.add(open_source(folder))
    run("speed.latency", "--archive", archive, "-o", output)
    results = json.loads(output.read_text())
    assert set(results["reached"]) == set(results["goals"]) == set(latency.GOALS)
    assert results["info"]["images"] == PICTURES
    assert results["get"]["calls"] == sum(x["calls"] for x in results["get"]["by_kind"].values())
    assert 0 < results["get"]["median_ms"] <= results["get"]["p95_ms"] <= results["get"]["max_ms"]
    assert str(tmp_path) not in output.read_text()


def test_rate_between_points_is_pchip(rng: np.random.Generator) -> None:
    values = np.sort(rng.uniform(25, 40, 7))
    rates = np.sort(rng.uniform(0.3, 6, 7))
    points = list(zip(values.tolist(), rates.tolist(), strict=True))
    reference = PchipInterpolator(values, np.log(rates))
    for value in [*np.linspace(values[0], values[-1], 50)[:-1], *values]:
        found = rate_curves.rate_at(points, float(value))
        assert found == pytest.approx(math.exp(reference(value)))
    assert rate_curves.rate_at(points, values[0] - 0.01) is None
    assert rate_curves.rate_at(points, values[-1] + 0.01) is None
    assert rate_curves.rate_at(points[:2], values[0]) is None
    assert rate_curves.rate_at([], 30) is None


@pytest.mark.parametrize("bend", [0.5, 1.0, 2.0])
def test_qualities_are_found(bend: float) -> None:
    tried = []

    def probe(quality: int) -> float:
        tried.append(quality)
        return 20 + 25 * math.pow(quality / 100, bend)

    wanted = [26.0, 28.0, 30.0, 32.0, 34.0, 36.0]
    chosen = rate_curves.choose_qualities(probe, (0, 100), wanted)
    got = [20 + 25 * (quality / 100) ** bend for quality in chosen]
    assert got == pytest.approx(wanted, abs=0.25)
    assert len(tried) == len(set(tried)) < 25
    # What is out of reach gives the nearest that there is.
    assert rate_curves.choose_qualities(probe, (10, 20), [1.0, 99.0]) == [10, 20]
    assert rate_curves.choose_qualities(lambda _: 30.0, (1, 5), [30.0, 30.0]) != []


def test_curves_are_extended_until_they_cover() -> None:
    class Steep:
        name = "steep"
        qualities = (1, 99)

        def probe(self, images: Sequence[Image], quality: int) -> float:
            return 20 + 0.3 * quality

        def rows(self, pictures: data.Pictures, quality: int) -> list[rate_curves.Row]:
            return [{"psnr_mean": 32 + 0.1 * (quality - 40), "quality": quality}]

    pictures = data.Pictures("none", [], [])
    plan = measured_curves.Plan(30, 34, points=3)
    rows = list(measured_curves.measured_rows(Steep(), pictures, plan, seed=0))
    values = [row["psnr_mean"] for row in rows]
    assert min(values) <= 30
    assert max(values) >= 34


def test_curves_of_steep_steps_have_enough_points() -> None:
    class Stepped:
        name = "stepped"
        qualities = (1, 99)

        def __init__(self, step: int) -> None:
            self.step = step

        def probe(self, images: Sequence[Image], quality: int) -> float:
            return 20.0 + 20 * (quality >= self.step) + quality / 100

        def rows(self, pictures: data.Pictures, quality: int) -> list[rate_curves.Row]:
            return [{"psnr_mean": self.probe([], quality), "quality": quality}]

    pictures = data.Pictures("none", [], [])
    plan = measured_curves.Plan(30, 34, points=3)
    for step in (14, 97):
        rows = list(measured_curves.measured_rows(Stepped(step), pictures, plan, seed=0))
        assert len({row["quality"] for row in rows}) == len(rows) >= measured_curves.LEAST_POINTS


def constant_and_rest(rival: rivals.Rival, quality: int, images: list[Image]) -> list[int]:
    """Bytes of each file that are not payload."""
    found = []
    for image in images:
        one = rivals.measure([image], rival, quality)
        found.append(one.file_bytes - one.payload_bytes)
    return found


def test_heads_are_constant(rng: np.random.Generator) -> None:
    images = [picture(rng) for _ in range(12)]
    # The length of the frame's length field, of 1 or 2 bytes, is all that differs.
    for rival in (rivals.AVIF, rivals.AVIF_FASTER):
        heads = constant_and_rest(rival, 50, images)
        assert max(heads) - min(heads) <= 1, rival
        assert min(heads) > 20


def test_a_file_without_frames_has_no_payload() -> None:
    with pytest.raises(ImageError):
        rivals.avif_payload(b"\x00\x00\x00\x10ftypavif\x00\x00\x00\x00")


def test_rivals_see_what_is_seen(rng: np.random.Generator) -> None:
    colour = picture(rng)
    alpha = np.zeros((32, 32), np.uint8)
    alpha[4:20, 4:20] = 255
    image = np.dstack([colour, alpha])
    for rival in (rivals.WEBP, rivals.AVIF, rivals.JPEG):
        measured = rivals.measure([image], rival, 90)
        assert measured.psnr_mean > 30
        assert (measured.payload_bytes < measured.file_bytes) == (rival is rivals.AVIF)
    grey = picture(rng, channels=1)
    assert rivals.measure([grey], rivals.JPEG, 90).psnr_mean > 30


def test_sheet_is_cut_where_it_was_joined(rng: np.random.Generator) -> None:
    images = [picture(rng) for _ in range(7)]
    sheet = rivals.measure_sheet(images, rivals.AVIF, 80)
    single = rivals.measure(images, rivals.AVIF, 80)
    assert sheet.psnr_mean == pytest.approx(single.psnr_mean, abs=1.5)
    assert sheet.file_bytes < single.file_bytes
    with pytest.raises(ImageError):
        rivals.measure_sheet([images[0], picture(rng, side=16)], rivals.AVIF, 50)


def test_toy_database_is_the_first_of_each_class() -> None:
    def load() -> Image:
        raise NotImplementedError

    items = [Item(f"{i:05d}", "abc"[i * 7 % 3], load) for i in range(1500)]
    toy = data.toy_database(items)
    assert [item.label for item in toy] == ["a"] * 200 + ["b"] * 200 + ["c"] * 200
    for label in "abc":
        own = [item.id for item in items if item.label == label][:200]
        assert [item.id for item in toy if item.label == label] == own


def test_held_out_emoji_have_their_siblings_with_them() -> None:
    names = [f"people/face-{i}.png" for i in range(200)]
    held = [name for name in names if data.is_held_out(name)]
    assert 20 < len(held) < 60
    for name in names:
        sibling = name.replace(".png", "--1f3fb.png")
        assert data.is_held_out(sibling) == data.is_held_out(name)


def test_missing_data_is_one_line() -> None:
    with pytest.raises(SourceError, match="--cifar"):
        data.load_pictures("cifar10-toy", data.Folders())
    with pytest.raises(SourceError, match="cifar10-toy"):
        data.load_pictures("mnist", data.Folders())


@pytest.mark.shared
def test_toy_database_of_cifar(shared: Path) -> None:
    pictures = data.load_pictures("cifar10-toy", data.Folders(cifar=shared / "cifar10"))
    assert (len(pictures), pictures.pixels) == (2000, 2000 * 1024)
    labels = [item.label for item in pictures.items]
    assert labels[:200] == ["airplane"] * 200
    assert labels[-200:] == ["truck"] * 200
    assert [item.id for item in pictures.items[:2]] == ["test/00003", "test/00010"]
    few = pictures.sample(50, seed=1)
    assert [item.id for item in few.items] == [
        item.id for item in pictures.sample(50, seed=1).items
    ]
    assert all(
        (item.load() == image).all() for item, image in zip(few.items, few.images, strict=True)
    )


def test_head_names_no_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ["--cifar", str(tmp_path / "c"), "-q", "--codec", f"emoji={tmp_path / 'e.kinc'}"]
    words += ["../up/x", "down/y"]
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "x.py"), *words])
    head = machine.run_head(seed=7)
    assert head["command"] == "python -m x.py --cifar c -q --codec emoji=e.kinc x down/y"
    assert head["seed"] == 7
    assert head["packages"]["kinpack"]
    assert str(tmp_path) not in json.dumps(head)


def test_labels_keep_apart() -> None:
    for wanted in ([0.1, 0.11, 0.12, 0.9], [0.97, 0.98, 0.99, 1.0], [0.5], []):
        places = sizes_plot._spread(wanted, gap=0.05)
        assert all(b - a >= 0.05 - 1e-9 for a, b in pairwise(places))
        assert not places or places[-1] <= 1


def test_shares_of_kin_against_plain_loops(rng: np.random.Generator) -> None:
    from benchmarks.search.describers import kin_shares

    decoded = rng.integers(0, 3, (120, 4)).astype(np.float32)  # many ties
    labels = rng.integers(0, 3, 120)
    shares: dict[int, list[float]] = {10: [], 100: []}
    for i in range(120):
        others = [j for j in range(120) if j != i]
        others.sort(key=lambda j: (float(((decoded[i] - decoded[j]) ** 2).sum()), j))
        for at, found in shares.items():
            found.append(sum(int(labels[j] == labels[i]) for j in others[:at]) / at)
    assert kin_shares(decoded, labels) == pytest.approx({a: np.mean(s) for a, s in shares.items()})


@pytest.mark.slow
def test_adding_to_many_measures_every_size(tmp_path: Path) -> None:
    rows = adding_to_many.measure(tmp_path, [1, 40], 2)
    assert [row["images"] for row in rows] == [1, 40]
    assert rows[0]["beyond_first_s"] == 0
    for row in rows:
        assert 0 < row["least_s"] <= row["median_s"]
        with Archive.open(tmp_path / f"{row['images']}.kin") as archive:
            assert len(archive) == row["images"] + 3


def test_a_mixed_folder_is_followed_without_a_surprise(tmp_path: Path) -> None:
    found = mixed_folder.measure(tmp_path, 240)
    assert found["told"] == []
    assert found["surprises"] == 0
    assert found["broken"] > 0
    assert found["cut"] > 0
    assert all(found["changes"].values())
    assert found["compared"] == found["pictures"] - found["cut"]


def test_syncing_finds_every_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncing, "IN_A_FOLDER", 20)
    rows = {row["what"]: row for row in syncing.measure(tmp_path, 100)}
    assert rows["unchanged, run 1"]["unchanged"] == 100
    assert rows["a folder renamed"]["renamed"] == 20
    assert rows["some changed"]["changed"] == 10
    assert rows["some gone"]["gone"] == 10
    assert rows["all with other times"]["touched"] == rows["unchanged again"]["unchanged"] == 90
