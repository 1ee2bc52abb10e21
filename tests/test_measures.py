"""Measures of likeness, and rates at each size, on pictures made here."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from benchmarks.lattice import rendered_pictures
from benchmarks.lattice.training_patches import held_out
from benchmarks.learning import own_collections
from benchmarks.measuring import measures
from benchmarks.measuring.ssimulacra2_score import truncated_cosines
from benchmarks.pages import codec_tables
from benchmarks.rates import bd_rows, contact_sheet, flat_pictures, kept_pictures, sizes, sizes_plot
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image, to_pil

measured = pytest.mark.learn  # SSIM is computed by torch


@pytest.fixture
def packages() -> None:
    for name in ("pytorch_msssim", "ssimulacra2"):
        pytest.importorskip(name, reason="needs the extra measure")


def soft(rng: np.random.Generator, height: int, width: int, channels: int = 3) -> Image:
    """A picture of waves with an edge."""
    y, x = np.mgrid[:height, :width]
    waves = [
        60 * np.sin(x / rng.uniform(3, 20) + rng.uniform(0, 6)) * np.cos(y / rng.uniform(3, 20))
        for _ in range(channels)
    ]
    levels = 120 + np.stack(waves, axis=2) + 50 * (x > width / 3)[:, :, None]
    return np.asarray(levels.clip(0, 255).round(), dtype=np.uint8)


def noisy(image: Image, strength: float, seed: int = 1) -> Image:
    noise = np.random.default_rng(seed).normal(0, strength, image.shape)
    return np.asarray((image + noise).clip(0, 255).round(), dtype=np.uint8)


@measured
@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("shape", [(32, 48, 3), (65, 91, 1), (300, 256, 3), (64, 64, 4)])
def test_an_exact_picture_is_as_like_as_can_be(
    shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    image = soft(rng, *shape)
    found = measures.likeness(image, image.copy())
    exact = {"psnr": 60, "ssim": 1, "ssimulacra2": 100, "ms_ssim": 1}
    if min(shape[:2]) < 256:
        del exact["ms_ssim"]
    assert found == pytest.approx(exact)


@measured
@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("side", [32, 64, 128, 256])
def test_more_noise_is_less_like_by_every_measure(side: int, rng: np.random.Generator) -> None:
    image = soft(rng, side, side + 7)
    found = [measures.likeness(image, noisy(image, s)) for s in (0.5, 2, 6, 15)]
    for name in found[0]:
        values = [each[name] for each in found]
        assert values == sorted(values, reverse=True), name
        assert len(set(values)) == len(values)


@measured
@pytest.mark.usefixtures("packages")
def test_ssim_is_that_of_luma_by_plain_loops(rng: np.random.Generator) -> None:
    image = soft(rng, 20, 17)
    drawn = noisy(image, 9)
    x, y = ((each @ np.array([0.299, 0.587, 0.114])) for each in (image, drawn))
    weights = [math.exp(-(i * i + j * j) / 4.5) for i in range(-5, 6) for j in range(-5, 6)]
    total = sum(weights)
    values = []
    for row in range(20 - 10):
        for column in range(17 - 10):
            a = x[row : row + 11, column : column + 11].ravel()
            b = y[row : row + 11, column : column + 11].ravel()
            sums = dict.fromkeys(("a", "b", "aa", "bb", "ab"), 0.0)
            for w, p, q in zip(weights, a, b, strict=True):
                for name, value in zip(sums, (p, q, p * p, q * q, p * q), strict=True):
                    sums[name] += w / total * value
            c1, c2 = 2.55**2, 7.65**2
            light = (2 * sums["a"] * sums["b"] + c1) / (sums["a"] ** 2 + sums["b"] ** 2 + c1)
            covariance = sums["ab"] - sums["a"] * sums["b"]
            variances = sums["aa"] - sums["a"] ** 2 + sums["bb"] - sums["b"] ** 2
            values.append(light * (2 * covariance + c2) / (variances + c2))
    found = measures.likeness(image, drawn, ["ssim"])
    assert found == {"ssim": pytest.approx(np.mean(values), abs=1e-5)}


@measured
@pytest.mark.usefixtures("packages")
def test_colour_alone_changes_no_luma_and_is_seen(rng: np.random.Generator) -> None:
    grey = np.repeat(soft(rng, 128, 128, 1) // 2 + 60, 3, axis=2)
    tinted = grey.copy()
    tinted[:, :, 0] += 11  # 0.299 · 11 − 0.114 · 29 is near 0
    tinted[:, :, 2] -= 29
    found = measures.likeness(grey, tinted)
    assert found["ssim"] > 0.999
    assert found["ssimulacra2"] < 95


def test_windows_are_the_recursive_filters_that_stand_for_a_gaussian() -> None:
    # Charalampidis (2016), run as libjxl runs it: one impulse through three recursive filters.
    n, sigma = 5, 1.5
    omega = [k * math.pi / (2 * n) for k in (1, 3, 5)]
    weights = truncated_cosines(sigma)
    # The sum of cosines is what it says: a·cos(ωk) for three a, found here from three weights.
    system = np.array([[math.cos(w * k) for w in omega] for k in (0, 1, 2)])
    amplitudes = np.linalg.solve(system, weights[n : n + 3])
    signal = np.zeros(60)
    signal[30] = 1
    out = np.zeros(60)
    for a, w in zip(amplitudes, omega, strict=True):
        before, before2 = 0.0, 0.0
        for i in range(-n + 1, 60):
            left = signal[i - n - 1] if i - n - 1 >= 0 else 0.0
            right = signal[i + n - 1] if 0 <= i + n - 1 < 60 else 0.0
            value = -a * math.cos(w * (n + 1)) * (left + right) + 2 * math.cos(w) * before - before2
            before2, before = before, value
            if i >= 0:
                out[i] += value
    np.testing.assert_allclose(out[25:36], weights, atol=1e-9)
    assert weights.sum() == pytest.approx(1)
    gaussian = np.exp(-(np.arange(-n, n + 1) ** 2) / (2 * sigma**2))
    assert abs(weights - gaussian / gaussian.sum()).max() < 0.003


@measured
@pytest.mark.usefixtures("packages")
def test_alpha_is_laid_on_white(rng: np.random.Generator) -> None:
    image = soft(rng, 40, 40, 4)
    image[:20, :, 3] = 0
    image[20:, :, 3] = 255
    other = image.copy()
    other[:20, :, :3] = 7  # where nothing is seen
    assert measures.likeness(image, other)["ssimulacra2"] == pytest.approx(100)


def test_qualities_along_an_axis() -> None:
    row = {"psnr_mean": 31.5, "ssim_mean": 0.99, "ssimulacra2_mean": -3.0}
    found = [measures.quality_of(row, name) for name in measures.MEASURES]
    assert found == [31.5, pytest.approx(20), -3.0, None]
    best = measures.quality_of({"ssim_mean": 1.0}, "ssim")
    assert best is not None
    assert math.isfinite(best)


def test_means_are_of_measures_that_all_pictures_have(rng: np.random.Generator) -> None:
    images = [soft(rng, 24, 24), soft(rng, 30, 24)]
    drawn = [noisy(images[0], 3), noisy(images[1], 9)]
    one, two = (measures.likeness(a, b, ["psnr"]) for a, b in zip(images, drawn, strict=True))
    wanted = (one["psnr"] + two["psnr"]) / 2
    found = measures.mean_likeness(images, drawn, ["psnr", "ms_ssim"])
    assert found == {"psnr_mean": pytest.approx(wanted)}


def points(codec: str, scale: float) -> list[dict[str, Any]]:
    """A curve on which rate doubles with every step of quality, by each measure."""
    return [
        {
            "data": "made-up",
            "codec": codec,
            "setting": f"quality {i}",
            "bytes": scale * 1000 * 2**i,
            "codec_bytes": 0,
            "pixels": 8000,
            "images": 3,
            "psnr_mean": 26.0 + 2 * i,
            "ssim_mean": 1 - 10 ** -(0.5 + 0.2 * i),
            "ssimulacra2_mean": 20.0 + 9 * i + (3 if codec == "jpeg-file" else 0),
        }
        for i in range(7)
    ]


def test_each_measure_has_its_rate() -> None:
    rows = [*points(sizes.ANCHOR, 1.0), *points("webp-file", 1.3), *points("jpeg-file", 2.0)]
    found = {row["codec"]: row["bd_rate"] for row in sizes.compared("pages", 64, rows)}
    assert set(found) == {"webp-file", "jpeg-file"}
    webp, jpeg = found["webp-file"], found["jpeg-file"]
    assert set(webp) == {"psnr", "ssim", "ssimulacra2"}  # MS-SSIM was not measured
    assert [each["percent"] for each in webp.values()] == [pytest.approx(30, abs=0.01)] * 3
    assert jpeg["psnr"] == {"percent": pytest.approx(100, abs=0.01), "range": [26, 38]}
    # Three points of ssimulacra2 more at the same bytes: a third of a doubling less.
    assert jpeg["ssimulacra2"]["percent"] == pytest.approx(100 * (2 * 2 ** (-1 / 3) - 1), abs=0.5)
    assert jpeg["ssimulacra2"]["range"] == [23, 74]


def test_a_curve_with_a_gap_says_nothing() -> None:
    steep = points("webp-file", 1.3)
    for row in steep[1:]:
        row["psnr_mean"] += 7  # nothing from 26 to 35 dB, of 26 to 38 that both cover
    found = bd_rows.by_measure([*points(sizes.ANCHOR, 1.0), *steep], "webp-file", sizes.ANCHOR)
    assert set(found) == {"ssim", "ssimulacra2"}


def test_tables_show_every_measure() -> None:
    rows = [*points(sizes.ANCHOR, 1.0), *points("webp-file", 1.3)]
    found = {"rows": sizes.compared("pages", 64, rows) + sizes.compared("pages", 256, rows)}
    lines = codec_tables.by_size(found, tuple(codec_tables.CODECS), 256).splitlines()
    assert "MS-SSIM(Y)" in lines[0]
    assert lines[2:] == ["| WebP files, rendered pages | 256 | 3 | +30.0 | +30.0 | +30.0 | – |"]
    assert len(codec_tables.all_sizes(found).splitlines()) == 4


@pytest.mark.slow
def test_figure_is_drawn(tmp_path: Path) -> None:
    rows = [row for i, codec in enumerate(sizes_plot.STYLES) for row in points(codec, 1 + i / 5)]
    results = {
        "curves": {"photographs-64": bd_rows.curve_points(rows), "pages-64": {}},
        "machine": {"photographs-64": {"images": 24}},
    }
    sizes_plot.draw(results, tmp_path / "p.json")
    assert (tmp_path / "p.png").stat().st_size > 10_000
    text = (tmp_path / "p.svg").read_text()
    for words in ("24 photographs", "shorter side 64 pixels", "WebP files", "mean ssimulacra2"):
        assert words in text
    curve = sizes_plot.points(bd_rows.curve_points(rows)["webp-file"], "ssim")
    assert [quality for quality, _ in curve] == pytest.approx(
        [5 + 2 * i for i in range(7)], abs=1e-3
    )
    sizes_plot.draw({"curves": {}, "machine": {}}, tmp_path / "none.json")
    assert not (tmp_path / "none.png").exists()


def test_photographs_are_held_out_and_large_enough(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    for folder, count in (("new", 6), ("learned", 60)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            side = 30 if number == 0 else 50
            to_pil(soft(rng, side, 70)).save(tmp_path / folder / f"{number}.png")
    sources = kept_pictures.Sources(
        photographs=[tmp_path / "new"], learned_from=[tmp_path / "learned"]
    )
    found = kept_pictures.kept_pictures("photographs", 32, sources, count=50)
    again = kept_pictures.kept_pictures("photographs", 32, sources, count=50)
    names = [item.id for item in found.items]
    assert names == [item.id for item in again.items]
    assert {name for name in names if name.startswith("new/")} == {
        f"new/{n}.png" for n in range(1, 6)
    }
    learned = {name.removeprefix("learned/") for name in names if name.startswith("learned/")}
    assert learned == {f"{n}.png" for n in range(1, 60) if held_out(f"{n}.png")} != set()
    assert {min(image.shape[:2]) for image in found.images} == {32}
    few = kept_pictures.kept_pictures("photographs", 32, sources, count=2)
    assert [name.partition("/")[0] for name in (i.id for i in few.items)] == ["new", "learned"]


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    for name in ("photographs", "pages", "emoji"):
        with pytest.raises(KinpackError):
            kept_pictures.kept_pictures(name, 64, kept_pictures.Sources(), count=1)
    with pytest.raises(KinpackError, match="--patches"):
        sizes.load_codec("run.ckpt", None)


def test_grey_surfaces_are_grey_smooth_and_the_same_each_time() -> None:
    found = kept_pictures.kept_pictures("greys", 64, kept_pictures.Sources(), count=4)
    again = kept_pictures.kept_pictures("greys", 64, kept_pictures.Sources(), count=4)
    for a, b in zip(found.images, again.images, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.shape == (64, 64, 1)
        steps = abs(np.diff(a.astype(int), axis=1))
        assert np.median(steps) <= 4
        assert steps.max() > 8  # a line


def test_the_least_quality_that_reaches_is_found() -> None:
    tried = []

    def make(quality: int) -> tuple[int, float]:
        tried.append(quality)
        return 10 * quality, 30 + quality / 2 - (20 if quality == 99 else 0)

    for wanted, quality in ((45.0, 30), (45.4, 31), (30.5, 1), (78.5, 97)):
        tried.clear()
        found = flat_pictures.least_reaching(make, (1, 99), wanted)
        assert found == (quality, 10 * quality, 30 + quality / 2)
        assert len(tried) == len(set(tried)) < 35
    assert flat_pictures.least_reaching(make, (1, 99), 79.5) is None


def test_flat_pictures_are_compared_where_both_reach() -> None:
    def one(kind: str, learned: int | None, avif: int | None) -> dict[str, Any]:
        sizes_ = {"learned": learned, "avif": avif}
        return {"kind": kind, **{k: v and {"bytes": v} for k, v in sizes_.items()}}

    rows = [one("flat", 100, 20), one("flat", 300, 40), one("flat", 900, None)]
    found = flat_pictures.summary([*rows, one("gradient", None, 5)])
    none = dict.fromkeys(("learned", "avif", "most"))
    assert found == [
        {"kind": "flat", "images": 3, "reached": 2, "learned": 200, "avif": 30, "most": 300},
        {"kind": "gradient", "images": 1, "reached": 0, **none},
    ]
    lines = codec_tables.flats({"side": 256, "wanted_db": 45.0, "summary": found}).splitlines()
    assert lines[2:] == ["| flat | 2 | 200 | 300 | 30 |", "| gradient | 0 | – | – | – |"]


def test_flat_pictures_are_flat_and_gradients_are_not() -> None:
    assert len(np.unique(rendered_pictures.flat(3, 32).reshape(-1, 3), axis=0)) == 1
    for number in range(4):
        steps = abs(np.diff(rendered_pictures.gradient(number, 64).astype(int), axis=0))
        assert steps.max() < 16
        assert rendered_pictures.gradient(number, 64).std() > 1


def test_bytes_of_a_sheet_are_equal_or_fewer() -> None:
    def make(quality: int) -> contact_sheet.Coded:
        return contact_sheet.Coded(7 * quality, np.full((1, 1, 1), quality, np.uint8))

    for most, quality in ((700, 99), (50, 7), (49, 7), (48, 6), (3, 1)):
        found = contact_sheet.best_within(make, most)
        assert (found.bytes, int(found.drawn[0, 0, 0])) == (7 * quality, quality)


@pytest.mark.slow
def test_a_sheet_holds_what_was_drawn(tmp_path: Path, rng: np.random.Generator) -> None:
    side, tiles = contact_sheet.SIDE, []
    shown = []
    for number in range(3):
        image = soft(rng, side, side, 1 if number == 1 else 3)
        coded = [contact_sheet.Coded(99, noisy(image, s)) for s in (1, 2, 3)]
        shown.append((image, coded, [{"psnr": 31.0, "ssimulacra2": 60.0}] * 3))
        tiles += [image, *(each.drawn for each in coded)]
    contact_sheet.draw(tmp_path / "sheet.webp", shown)
    with Pillow.open(tmp_path / "sheet.webp") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    for number, tile in enumerate(tiles):
        down, across = divmod(number, 8)
        x = contact_sheet.MARGIN + across * (side + contact_sheet.GAP)
        x += contact_sheet.MARGIN * (across > 3)
        y = contact_sheet.MARGIN + down * (side + contact_sheet.CAPTION)
        found = pixels[y : y + side, x : x + side]
        np.testing.assert_array_equal(found, np.broadcast_to(tile, found.shape))


@pytest.mark.slow
@pytest.mark.learn
def test_nothing_that_is_measured_is_learned_from(tmp_path: Path, rng: np.random.Generator) -> None:
    for number in range(40):
        to_pil(soft(rng, 321, 330)).save(tmp_path / f"{number}.png")
    clothes = own_collections.own_collection("clothes", clothes=tmp_path, count=3, measured=9)
    names = [item.id for item in clothes.source]
    assert len(clothes.source) == len(names) == 3
    assert not any(held_out(name) for name in names)
    assert clothes.held_out is not None
    assert len(clothes.held_out) == sum(held_out(f"{n}.png") for n in range(40)) > 0
    greys = own_collections.own_collection("greys", count=5, measured=2)
    assert greys.held_out is not None
    learnable = [item.load() for item in greys.source]
    assert [image.shape for image in learnable] == [(256, 256, 1)] * 5
    for image in greys.held_out:
        assert not any(np.array_equal(image, other) for other in learnable)
    for name in ("clothes", "pages", "faces"):
        with pytest.raises(KinpackError, match=name):
            own_collections.own_collection(name)


@measured
@pytest.mark.slow
@pytest.mark.usefixtures("packages")
def test_small_run(tmp_path: Path) -> None:
    output = tmp_path / "sizes.json"
    fields: dict[str, Any] = {
        "codec": "default",
        "patches": None,
        "photographs": [],
        "learned_from": [],
        "fonts": None,
        "emoji": None,
        "kinds": ["greys"],
        "sides": [64, 32],
        "images": 2,
        "work": tmp_path / "work",
        "threads": 1,
        "seed": 0,
        "output": output,
    }
    sizes.run(argparse.Namespace(**fields))
    results = json.loads(output.read_text())
    assert {(row["data"], row["side"], row["images"]) for row in results["rows"]} == {
        ("greys", 64, 2)  # not measured at 32
    }
    assert {row["codec"] for row in results["rows"]} >= set(codec_tables.OURS) | {"webp-file"}
    for curve in results["curves"]["greys-64"].values():
        assert all({"psnr_db", "ssim_mean", "ssimulacra2_mean"} <= set(point) for point in curve)
    assert str(tmp_path) not in output.read_text()
    kept = sorted((tmp_path / "work").iterdir())
    sizes.run(argparse.Namespace(**fields))  # nothing is measured twice
    assert sorted((tmp_path / "work").iterdir()) == kept
