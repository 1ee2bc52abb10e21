"""BD-rate rows, their curves, and the store of measured points, on made-up figures."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.measuring import data, result_file
from benchmarks.rates import bd_rate, bd_rows, point_store, rivals
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image
from kinpack.sources.items import Item


def rows(codec: str, scale: float, *, ends: tuple[float, float] = (25.6, 38.4)) -> list[Any]:
    """A curve on which rate doubles every 6 dB, times a scale."""
    return [
        {
            "data": "cifar10-toy",
            "codec": codec,
            "setting": f"quality {i}",
            "bytes": scale * 1000 * math.pow(2, psnr / 6),
            "codec_bytes": 0,
            "pixels": 8000,
            "psnr_mean": float(psnr),
        }
        for i, psnr in enumerate(np.linspace(*ends, 8))
    ]


def by_anchor(found: list[dict[str, Any]], table: str, classic: str) -> dict[str, dict[str, Any]]:
    return {
        row["anchor"]: row for row in found if (row["table"], row["classic"]) == (table, classic)
    }


def test_rows_have_the_ratio_of_their_curves() -> None:
    measured = [
        *rows("kinpack-never", 0.72),
        *rows("kinpack-never-payload", 0.70),
        *rows("kinpack-auto", 0.70),
        *rows("kinpack-auto-payload", 0.68),
        *rows("kinpack-classic", 0.80),
        *rows("kinpack-classic-payload", 0.77),
        *rows("avif-payload-s4", 0.75),
        *rows("webp-file", 1.3),
        *rows("jpeg-file", 2.0),
    ]
    found = bd_rows.bd_rows("cifar10-toy", measured)
    assert all(row["data"] == "cifar10-toy" and row["codec"] == "kinpack" for row in found)
    assert all(row["range_db"] == [26, 36] for row in found)
    payload = by_anchor(found, "payload", "auto")
    wanted = {"avif-payload-s4": 0.75, "webp-file": 1.3, "jpeg-file": 2.0, "kinpack-classic": 0.77}
    assert payload.keys() == wanted.keys()  # the sheet was not measured
    for anchor, scale in wanted.items():
        assert payload[anchor]["bd_rate_percent"] == pytest.approx(
            100 * (0.68 / scale - 1), abs=0.01
        )
    disk = by_anchor(found, "disk", "auto")
    assert disk["kinpack-classic"]["bd_rate_percent"] == pytest.approx(-12.5)
    assert disk["kinpack-classic"]["reached"] == "must"
    assert (payload["avif-payload-s4"]["must_percent"], payload["avif-payload-s4"]["reached"]) == (
        -5,
        "must",
    )
    assert payload["jpeg-file"]["reached"] == "no"
    without = by_anchor(found, "payload", "never")
    assert without["avif-payload-s4"]["bd_rate_percent"] == pytest.approx(
        100 * (0.70 / 0.75 - 1), abs=0.01
    )
    assert "must_percent" not in without["avif-payload-s4"]  # the other variant counts


def test_limits_are_those_of_the_variant_that_counts() -> None:
    measured = [*rows("kinpack-never-payload", 1.05), *rows("avif-payload-s4", 1.0)]
    measured += rows("kinpack-auto-payload", 0.8)
    found = bd_rows.bd_rows("thumbs64", measured)
    assert {row["classic"]: row.get("reached") for row in found} == {"never": "must", "auto": None}
    limit = bd_rows.Limit(-5, -25)
    assert [bd_rows.reached(v, limit) for v in (-30, -25, -24, -5, -4, None)] == [
        "goal",
        "goal",
        "must",
        "must",
        "no",
        None,
    ]


def test_short_curves_are_not_extrapolated() -> None:
    measured = [*rows("kinpack-never-payload", 0.7), *rows("webp-file", 1.0, ends=(27, 34))]
    (row,) = bd_rows.bd_rows("cifar10-toy", measured)
    assert row["bd_rate_percent"] is None
    assert "nothing is extrapolated" in row["why"]
    assert row["covered"] == {"range_db": [27, 34], "bd_rate_percent": pytest.approx(-30)}
    apart = [*rows("kinpack-never-payload", 0.7), *rows("webp-file", 1.0, ends=(40, 44))]
    (row,) = bd_rows.bd_rows("cifar10-toy", apart)
    assert row["bd_rate_percent"] is row["covered"] is None
    few = [*rows("kinpack-never-payload", 0.7), *rows("webp-file", 1.0)[::2]]
    (row,) = bd_rows.bd_rows("cifar10-toy", few)
    assert row["bd_rate_percent"] is None


def test_curve_points_are_rates() -> None:
    points = bd_rows.curve_points(rows("webp-file", 1.0)[::-1])["webp-file"]
    assert [point["psnr_db"] for point in points] == sorted(point["psnr_db"] for point in points)
    assert points[0]["bits_per_pixel"] == pytest.approx(math.pow(2, 25.6 / 6))
    assert points[0]["setting"] == "quality 0"


def test_codec_words() -> None:
    assert bd_rate.codec_specs(["emoji=a=b.kinc", "thumbs64=default"]) == {
        "emoji": "a=b.kinc",
        "thumbs64": "default",
    }
    for words in (["emoji"], ["emoji="], ["faces=x"], ["emoji=a", "emoji=b"]):
        with pytest.raises(KinpackError, match="NAME=FILE"):
            bd_rate.codec_specs(words)


def test_another_data_set_stays_in_the_results(tmp_path: Path) -> None:
    path = tmp_path / "results" / "bd_rate.json"
    measured = [*rows("kinpack-never-payload", 0.7), *rows("avif-payload-s4", 1.0)]
    bd_rate.add_data(path, "cifar10-toy", measured, {"images": 3})
    bd_rate.add_data(path, "emoji", measured, {"images": 4})
    bd_rate.add_data(path, "cifar10-toy", measured, {"images": 5})
    results = json.loads(path.read_text())
    assert [row["data"] for row in results["rows"]] == ["emoji", "cifar10-toy"]
    assert results["machine"] == {"cifar10-toy": {"images": 5}, "emoji": {"images": 4}}
    assert set(results["curves"]["emoji"]) == {"kinpack-never-payload", "avif-payload-s4"}


class Counted:
    """A contender that counts how often it is asked."""

    qualities = (1, 9)

    def __init__(self, name: str = "counted") -> None:
        self.name, self.calls = name, 0

    def probe(self, images: Sequence[Image], quality: int) -> float:
        self.calls += 1
        return 3.0 * quality

    def rows(self, pictures: data.Pictures, quality: int) -> list[dict[str, Any]]:
        self.calls += 1
        return [{"quality": quality, "psnr_mean": 3.0 * quality}]


def pictures(*values: int, labels: Sequence[str] = ("a", "b", "c")) -> data.Pictures:
    images = [np.full((2, 3, 1), value, np.uint8) for value in values]
    items = [
        Item(str(i), label, lambda image=image: image)  # type: ignore[misc]
        for i, (image, label) in enumerate(zip(images, labels, strict=False))
    ]
    return data.Pictures("made-up", items, images)


def test_points_are_measured_once(tmp_path: Path) -> None:
    def ask(key: dict[str, Any], name: str = "counted") -> int:
        counted = Counted(name)
        remembered = point_store.Remembered(counted, point_store.PointStore(tmp_path), key)
        assert (remembered.name, remembered.qualities) == (name, (1, 9))
        assert remembered.probe(pictures(1, 2).images, 5) == 15.0
        assert remembered.rows(pictures(1, 2), 5) == [{"quality": 5, "psnr_mean": 15.0}]
        return counted.calls

    assert ask({"speed": 4, "tune": "psnr"}) == 2
    assert ask({"tune": "psnr", "speed": 4}) == 0  # whatever the order of names
    assert ask({"speed": 0, "tune": "psnr"}) == 2
    assert ask({"speed": 4, "tune": "psnr"}, name="other") == 2

    counted = Counted()
    store = point_store.PointStore(tmp_path)
    remembered = point_store.Remembered(counted, store, {"speed": 4, "tune": "psnr"})
    remembered.rows(pictures(1, 3), 5)  # other pixels
    remembered.rows(pictures(1, 2, labels="cd"), 5)  # other labels
    remembered.rows(pictures(1, 2), 6)  # another quality
    assert counted.calls == 3


def test_damaged_points_are_measured_again(tmp_path: Path) -> None:
    store = point_store.PointStore(tmp_path / "new")
    assert store.get({"a": 1}, lambda: [1, 2]) == [1, 2]
    (path,) = (tmp_path / "new").iterdir()
    for text in ("", "{", '{"value": [3]}', '{"key": {"a": 2}, "value": [3]}', "[]"):
        path.write_text(text)
        assert store.get({"a": 1}, lambda: [4]) == [4]
    assert store.get({"a": 1}, lambda: [5]) == [4]
    assert [p.name for p in (tmp_path / "new").iterdir()] == [path.name]
    assert point_store.PointStore(None).get({"a": 1}, lambda: 6) == 6


def test_fingerprints_tell_shapes_apart() -> None:
    flat = np.zeros((2, 8, 1), np.uint8)
    assert point_store.fingerprint([flat]) != point_store.fingerprint([flat.reshape(4, 4, 1)])
    assert point_store.fingerprint([flat, flat]) != point_store.fingerprint([flat])
    assert len(point_store.source_fingerprint()) == 32
    assert (
        point_store.source_fingerprint("codec/classic/alpha.py") != point_store.source_fingerprint()
    )


def test_held_out_rule_by_hand() -> None:
    # crc32 of "grinning-face" and so on by an independent bitwise computation.
    def crc(text: str) -> int:
        value = 0xFFFFFFFF
        for byte in text.encode():
            value ^= byte
            for _ in range(8):
                value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        return value ^ 0xFFFFFFFF

    for name in ("1f600", "waving-hand", "flag-ch", "a", "man_dancing", "1f44b"):
        held = crc(name) % 5 == 0
        assert data.is_held_out(f"people/{name}.png") == held
        assert data.is_held_out(f"people/{name}--1f3fb.png") == held


@pytest.mark.parametrize("shape", [(90, 150, 3), (150, 90, 1), (64, 64, 4), (65, 200, 3)])
def test_thumbnails_have_the_size_that_they_say(
    shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    image = rng.integers(0, 256, shape, np.uint8)
    assert data.square_thumbnail(image, 64).shape == (64, 64, shape[2])
    small = data.thumbnail(image, 32)
    assert min(small.shape[:2]) == 32
    assert max(small.shape[:2]) == pytest.approx(32 * max(shape[:2]) / min(shape[:2]), abs=0.5)
    if shape[0] == shape[1] == 64:
        np.testing.assert_array_equal(data.square_thumbnail(image, 64), image)


def test_square_thumbnail_is_of_the_middle() -> None:
    image = np.zeros((64, 192, 1), np.uint8)
    image[:, 64:128] = 200
    assert (data.square_thumbnail(image, 64) == 200).all()


def test_result_files_are_tables(tmp_path: Path) -> None:
    values = {
        "rows": [{"a": i, "b": [1, 2]} for i in range(3)],
        "curves": {"x": {"y": [{"p": 1.5, "q": "w" * 90} for _ in range(2)]}},
        "machine": {"name": "é", "empty": {}},
    }
    path = tmp_path / "new" / "results.json"
    result_file.save_results(path, values)
    assert result_file.load_results(path) == values
    text = path.read_text()
    assert '\n    {"a": 1, "b": [1, 2]},\n' in text
    assert "é" in text
    assert result_file.load_results(tmp_path / "none.json") == {}
    assert list(path.parent.iterdir()) == [path]


def test_grey_is_cheaper_without_chroma_planes(rng: np.random.Generator) -> None:
    y, x = np.mgrid[:28, :28]
    images = [
        (128 + 60 * np.sin(x / a) + 50 * np.cos(y / b)).round().astype(np.uint8)[..., None]
        for a, b in rng.uniform(2, 6, (4, 2))
    ]
    grey, colour = (rivals.measure(images, rival, 50) for rival in (rivals.AVIF_GREY, rivals.AVIF))
    assert grey.psnr_mean == pytest.approx(colour.psnr_mean, abs=0.5)
    assert grey.payload_bytes < colour.payload_bytes


@pytest.mark.learn
def test_rivals_alone_are_measured_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    for name in ("pytorch_msssim", "ssimulacra2"):
        pytest.importorskip(name, reason="needs the extra measure")
    walk = np.cumsum(rng.normal(0, 8, (3, 12, 12, 3)), axis=2) + 128
    smooth = list(walk.clip(0, 255).astype(np.uint8))
    items = [Item(str(i), None, lambda: smooth[0]) for i in range(3)]
    made = data.Pictures("thumbs64", items, smooth)
    monkeypatch.setattr(bd_rate, "load_pictures", lambda name, folders: made)
    plan = bd_rate.PLANS["thumbs64"]
    monkeypatch.setitem(bd_rate.PLANS, "thumbs64", replace(plan, points=5, sample=2))
    fields: dict[str, Any] = {
        "codec": [],
        "data": ["thumbs64"],
        "output": None,
        "work": tmp_path / "work",
        "images": None,
        "no_sheet": False,
        "threads": 1,
        "seed": 0,
        **dict.fromkeys(("cifar", "emoji", "fashion", "photographs")),
    }
    bd_rate.run(argparse.Namespace(**fields))
    kept = sorted((tmp_path / "work").iterdir())
    monkeypatch.setattr(rivals, "_save", None)  # whatever is measured anew now fails
    bd_rate.run(argparse.Namespace(**fields))
    assert sorted((tmp_path / "work").iterdir()) == kept
    with pytest.raises(KinpackError, match="--codec"):
        bd_rate.run(argparse.Namespace(**{**fields, "data": None}))
