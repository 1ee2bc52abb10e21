"""The ladder's bookkeeping: rows over seeds, and curves that are kept from an earlier run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

pytest.importorskip("onnx")


from benchmarks.learning import ladder

pytestmark = pytest.mark.learn


def points(bits: float) -> list[dict[str, float]]:
    return [
        {"psnr": psnr, "bits_per_image": bits + psnr, "bits_per_image_gaussian": 2 * bits + psnr}
        for psnr in (25.0, 28.0, 31.0, 34.0, 37.0)
    ]


def row(rung: str, code: str, seed: int, saved: float | None) -> dict[str, Any]:
    found = {"rung": rung, "code": code, "against": None, "seed": seed, "points": points(seed)}
    return found if saved is None else {**found, "bd_rate_percent": saved}


def test_a_row_is_the_median_of_all_seeds() -> None:
    runs = [
        [row("a", "none", seed, None), row("b", "kin", seed, saved)]
        for seed, saved in ((5, 4.0), (6, -1.0), (7, 1.5))
    ]
    first, second = ladder.summed_up(runs)
    assert "bd_rate_percent" not in first
    assert second["bd_rate_percent"] == 1.5
    assert second["bd_rate_percent_of_seeds"] == [4.0, -1.0, 1.5]
    assert [run["seed"] for run in second["runs"]] == [5, 6, 7]
    assert second["runs"][1]["points"] == points(6)


def test_curves_of_other_codes_are_kept(tmp_path: Path) -> None:
    output = tmp_path / "ladder.json"
    assert ladder.kept_curves(output, 5, ["kin"]) == {}
    runs = [[row("a", "none", 5, None), row("b", "kin", 5, 1.0), row("c", "own", 5, 2.0)]]
    output.write_text(json.dumps({"rows": ladder.summed_up(runs)}))
    assert ladder.kept_curves(output, 5, ["kin"]) == {"a": points(5), "c": points(5)}
    assert ladder.kept_curves(output, 6, ["kin"]) == {}
    assert ladder.kept_curves(output, 5, ladder.CODES) == {}


def test_what_is_paid_for_a_code_is_counted() -> None:
    same = ladder.compared(points(100), points(100))
    assert same == 0
    more = ladder.compared(points(100), points(100), paid=ladder.CODE_BITS)
    assert more is not None
    assert 40 < more < 60
