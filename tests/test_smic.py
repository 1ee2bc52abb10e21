"""The sMIC experiment as its readers run it, on pictures made here, and its page."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

import torch

from kinpack.errors import KinpackError
from papers.datasets import LabelledPictures
from papers.experiment import Task, run_tasks
from papers.smic import bits, comparison, models
from papers.smic.__main__ import main
from papers.smic.coders import independent
from papers.smic.pictures import latents_of
from papers.variational import VaeConfig, VariationalAutoencoder

pytestmark = pytest.mark.learn

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "papers" / "smic" / "results"
KEYS = {
    "dataset", "variant", "lam", "seed", "channels", "psnr_db", "rank_numerical", "rank_effective",
    "rank_energy_99", "rank_energy_999", "cosine_within", "cosine_between", "entropy_joint_bits",
    "entropy_sum_bits", "images", "pixels", "bytes", "versions",
}  # fmt: skip


def put_pictures(folder: Path) -> Path:
    """A cache of pictures of four classes, each with a pattern of its own; the folder to name."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(np.arange(32), np.arange(32)), -1) / 31
    waves = [np.sin(6 * (grid @ direction)) for direction in rng.normal(size=(4, 2))]
    arrays: dict[str, Any] = {"size": np.array([32, 32])}
    for part, count in (("train", 512), ("test", 200), ("toy", 200)):
        labels = np.sort(np.arange(count) % 4)
        tint = rng.uniform(60, 190, (count, 1, 1, 3))
        signal = np.stack([waves[label] for label in labels])[..., None] * 40
        noise = rng.normal(0, 12, (count, 32, 32, 3))
        arrays[f"{part}_pixels"] = (tint + signal + noise).clip(0, 255).astype(np.uint8)
        arrays[f"{part}_labels"] = labels.astype(np.int64)
    (folder / "runs" / "data").mkdir(parents=True)
    (folder / "data" / "cifar10").mkdir(parents=True)
    np.savez(folder / "runs" / "data" / "cifar10.npz", **arrays)
    return folder / "data"


@pytest.mark.slow
def test_the_quick_run_goes_all_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = put_pictures(tmp_path)
    command = ["--quick", "--data", str(data), "--output", str(tmp_path), "--processes", "1"]
    assert main(["train", *command]) == 0
    assert "4 of 4 done, 100 %" in capsys.readouterr().err
    assert main(["evaluate", *command, "--quiet"]) == 0
    files = sorted((tmp_path / "results" / "models").glob("*.json"))
    assert len(files) == len(models.quick_models()) == 4
    for path in files:
        result = json.loads(path.read_text())
        assert set(result) >= KEYS
        assert set(result["bytes"]) == set(bits.CODERS)
        assert result["pixels"] == 200 * 32 * 32
        for points in result["bytes"].values():
            assert len(points) >= 6
            assert [p["bytes"] for p in points] == sorted(p["bytes"] for p in points)
            assert all(p["bytes"] > 0 and 0 < p["psnr_db"] < 60 for p in points)
    # A second call finds everything done and touches nothing.
    before = {path: path.stat().st_mtime_ns for path in files}
    assert main(["evaluate", *command, "--quiet"]) == 0
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert main(["figures", *command]) == 0
    drawn = capsys.readouterr().out.splitlines()
    assert {Path(line).name for line in drawn} >= {"comparison.json", "figure3.png", "figure2.svg"}
    assert all(Path(line).stat().st_size > 0 for line in drawn)
    compared = json.loads((tmp_path / "results" / "comparison.json").read_text())
    assert compared["coders"]
    assert compared["entropy_gap"]


@pytest.mark.slow
def test_a_missing_data_set_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--quick", "--data", str(tmp_path), "--output", str(tmp_path)]) == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1].startswith("smic: ")
    assert "--data" in told[-1]


def test_a_coder_that_errs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(coded: object, n: int, d: int) -> np.ndarray:
        return np.zeros((n, d), dtype=np.int64)

    monkeypatch.setattr(independent, "decode_static", wrong)
    symbols = np.random.default_rng(0).integers(-3, 4, (20, 16))
    tables = independent.fit_dimensions(symbols)
    with pytest.raises(KinpackError, match="other integers"):
        bits._through("static", symbols, np.zeros(20, np.int64), tables, check=True)


def test_new_items_join_without_recoding_the_others() -> None:
    torch.manual_seed(0)
    network = VariationalAutoencoder(VaeConfig(first=4, second=4, latent=4))
    pixels = np.random.default_rng(2).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    all_of_them = LabelledPictures(pixels, np.zeros(30, np.int64), 32, 32)
    B = latents_of(network, all_of_them)
    # e looks at one picture at a time: the latents of the first 20 do not know of the last 10.
    alone = latents_of(network, all_of_them.take(np.arange(20)))
    np.testing.assert_allclose(alone, B[:20], atol=1e-5)
    # e' under tables that were sent already: the newcomers are a message of their own.
    symbols = bits.quantise(B, 0.5 * bits.deviation(B))
    tables = independent.fit_dimensions(symbols[:20])
    there = independent.encode_static(symbols[:20], tables)
    joined = independent.encode_static(symbols[20:], tables)
    assert joined.parts["tables"] == there.parts["tables"]
    for coded, part in ((there, symbols[:20]), (joined, symbols[20:])):
        assert np.array_equal(independent.decode_static(coded, *part.shape), part)


def test_rates_at_equal_quality_are_between_the_points() -> None:
    curve = comparison.Curve.of(
        np.array([20.0, 24.0, 22.0, 21.9]), np.array([10.0, 40.0, 20.0, 25])
    )
    assert curve.psnr.tolist() == [20.0, 22.0, 24.0]  # 25 bytes for 21.9 dB are no bargain
    rates = curve.rates_at(np.array([19.0, 20.0, 23.0, 24.0, 25.0]))
    assert np.isnan(rates[[0, 4]]).all()
    np.testing.assert_allclose(rates[[1, 3]], [10, 40])
    assert 20 < rates[2] < 40


def test_resampled_rates_surround_the_real_one() -> None:
    rng = np.random.default_rng(1)
    n, steps = 400, 6
    level = np.linspace(18, 30, steps)[:, None]
    psnr = level + rng.normal(0, 2, (steps, n))
    item_bits = (level - 10) * 100 + rng.normal(0, 200, n)
    points = [
        {"step": 1.0, "psnr_db": float(p.mean()), "bytes": 1000 + b.sum() / 8, "shared_bytes": 1000}
        for p, b in zip(psnr, item_bits, strict=True)
    ]
    result = {"images": n, "bytes": {"static": points}}
    resampled = comparison.Resampled(result, {"psnr": psnr, "bits static": item_bits})
    rates = resampled.rates("static")
    assert rates is not None
    real = comparison.curve_of(result, "static").rates_at(comparison.QUALITIES)
    for column, value in zip(rates.T, real, strict=True):
        if not np.isnan(value):
            low, high = np.nanpercentile(column, [2.5, 97.5])
            assert low < value < high
            assert (high - low) / value < 0.1
    assert resampled.rates("huffman") is None


def _write_name(argument: tuple[Path, str], progress: object) -> None:
    path, text = argument
    if text == "slow":
        time.sleep(0.2)
    path.write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_tasks_are_done_once(
    tmp_path: Path, processes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [
        Task(name, tmp_path / name, (tmp_path / name, name), cost=cost)
        for name, cost in (("slow", 2.0), ("quick", 1.0))
    ]
    assert run_tasks("writing", tasks, _write_name, processes=processes) == 2
    assert [(tmp_path / t.name).read_text() for t in tasks] == ["slow", "quick"]
    told = capsys.readouterr().err
    assert "writing: 2 of 2 done, 100 %" in told
    assert "min left" in told
    assert run_tasks("writing", tasks, _write_name, processes=processes) == 0
    assert not capsys.readouterr().err


def test_the_committed_results_are_whole() -> None:
    found = comparison.read_results(RESULTS / "models")
    names = {r["name"] for r in found}
    assert names == {m.name for m in models.all_models()}
    for result in found:
        assert set(result) >= KEYS
        assert all(len(points) >= 6 for points in result["bytes"].values())
    main_names = {m.name for m in models.main_models()}
    assert len(main_names) == 25
    assert all(set(r["bytes"]) == set(bits.CODERS) for r in found if r["name"] in main_names)


@pytest.mark.slow
def test_numbers_of_the_page_come_from_result_files() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "papers.smic.tables", "--check"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
