"""Comparison of models at equal PSNR: bytes by each coder, with intervals over images and seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from papers.smic.models import MIDDLE

QUALITIES = np.arange(16.0, 35.0, 2.0)
"""PSNR in dB at which models are compared, where both reach it."""
RESAMPLES = 200
"""Bootstrap resamples of the images."""
INTERVAL = (2.5, 97.5)
"""Percentiles of the intervals."""
THRESHOLDS = np.arange(10.0, 31.0, 2.0)
"""Values of T, in dB, that every image must reach (eq. 1)."""
REFERENCE = "static"
"""The independent coder that joint ones are compared with."""

Floats = NDArray[np.float64]
Result = dict[str, Any]


@dataclass(frozen=True)
class Curve:
    """Rate against quality of one model under one coder.

    Attributes:
        psnr: (s,) mean over images, dB, rising.
        rate: (s,) bytes on disk of the collection.
    """

    psnr: Floats
    rate: Floats

    @classmethod
    def of(cls, psnr: Floats, rate: Floats) -> Curve:
        """Sort points by PSNR; one that costs more and gives no more than another is left out."""
        order = np.argsort(rate)
        kept: list[int] = []
        for i in order:
            if not kept or psnr[i] > psnr[kept[-1]] + 1e-6:
                kept.append(int(i))
        return cls(psnr[kept], rate[kept])

    def rates_at(self, psnr: Floats) -> Floats:
        """Bytes at each PSNR, between the points by PCHIP over log bytes; NaN outside them."""
        if len(self.psnr) < 2:
            return np.full(len(psnr), np.nan)
        rates: Floats = np.exp(self._log_rate(psnr))
        return rates

    @cached_property
    def _log_rate(self) -> PchipInterpolator:
        return PchipInterpolator(self.psnr, np.log(self.rate), extrapolate=False)


def read_results(folder: Path) -> list[Result]:
    """All result files of a folder, sorted by name.

    What the earliest files do not say, since it was not yet an option, is filled in.
    """
    return [
        {"middle": MIDDLE, **json.loads(path.read_text())} for path in sorted(folder.glob("*.json"))
    ]


def curve_of(result: Result, coder: str) -> Curve:
    """Curve of a model under a coder, from its result file."""
    points = result["bytes"][coder]
    return Curve.of(
        np.array([p["psnr_db"] for p in points]), np.array([p["bytes"] for p in points], float)
    )


class Resampled:
    """A model's curves under resamples of its images.

    A resample counts each image as often as it was drawn: its PSNR, and its own bits, scaled so
    that all images once give the file's size; what the images share is counted once.

    Args:
        result: its result file.
        arrays: figures of each item, as ``evaluation.evaluate`` gives them.
        seed: of the draws; equal seeds draw the same images, so that models are paired.
    """

    def __init__(self, result: Result, arrays: dict[str, NDArray[Any]], *, seed: int = 0) -> None:
        self._result, self._arrays = result, arrays
        n = result["images"]
        rng = np.random.default_rng(seed)
        self._times = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n
        self._rates: dict[str, Floats | None] = {}

    def rates(self, coder: str) -> Floats | None:
        """Bytes at each of ``QUALITIES`` in each resample (resamples, qualities), NaN outside.

        None where the coder cannot tell the images' bits apart.
        """
        if coder not in self._rates:
            self._rates[coder] = self._found(coder)
        return self._rates[coder]

    def worst_psnr(self) -> Floats | None:
        """PSNR of the worst image at each step (steps,), dB, nothing resampled; None if unknown."""
        if "psnr" not in self._arrays:
            return None
        worst: Floats = self._arrays["psnr"].min(axis=1).astype(float)
        return worst

    def _found(self, coder: str) -> Floats | None:
        if f"bits {coder}" not in self._arrays:
            return None
        bits = self._arrays[f"bits {coder}"].astype(float)
        psnr = self._arrays["psnr klt" if coder.startswith("klt") else "psnr"].astype(float)
        points = self._result["bytes"][coder]
        shared = np.array([p["shared_bytes"] for p in points], float)
        total = np.array([p["bytes"] for p in points], float)
        rates = shared + (total - shared) * (self._times @ bits.T) / bits.mean(1)
        curves = zip(self._times @ psnr.T, rates, strict=True)
        return np.stack([Curve.of(q, r).rates_at(QUALITIES) for q, r in curves])


def compare(results: Sequence[Result], *, items: Path) -> dict[str, Any]:
    """Compare the models of each data set.

    Args:
        results: of all models.
        items: folder of the figures of each item.

    Returns:
        JSON values. ``alignment``: bytes of each aligned model over those of C-VAE without
        divergence and with it, by coder and PSNR. ``coders``: bytes of each coder over static
        coding of the same model. ``entropy_gap``: 1 − joint/sum of eq. 2 at equal PSNR.
        ``thresholds``: bits a pixel at which every image is above T, eq. 1. ``seeds``:
        mean and deviation over seeds. Ratios minus one throughout; intervals are of 95 %.
    """
    found: dict[str, Any] = {
        "resamples": RESAMPLES,
        "alignment": [],
        "coders": [],
        "entropy_gap": [],
        "thresholds": [],
        "seeds": [],
    }
    pool = {r["name"]: _resampled(r, items) for r in results}
    for dataset in sorted({r["dataset"] for r in results}):
        of_set = [r for r in results if r["dataset"] == dataset]
        found["alignment"] += _alignment(of_set, pool)
        found["coders"] += [row for r in of_set for row in _coders(r, pool[r["name"]])]
        found["entropy_gap"] += [row for r in of_set for row in _gap(r)]
        found["thresholds"] += [row for r in of_set for row in _thresholds(r, pool[r["name"]])]
        found["seeds"] += _seeds(of_set)
    return found


def is_plain(result: Result) -> bool:
    """Whether a model is C-VAE without divergence: what eq. 6 leaves at λ = 0."""
    return bool(result["variant"] == "C" and result["kl_weight"] == 0 and result["middle"])


def label_of(result: Result) -> str:
    """Name of a model in tables: its variant, λ, and what is varied."""
    if result["variant"] == "C":
        name = "C-VAE" if result["kl_weight"] else "C-VAE, no divergence"
        return name if result["middle"] else f"{name}, pixels from black"
    name = f"{result['variant']}MIC λ={_fraction(result['lam'])}"
    extra = [result["reading"] if result["reading"] in ("redrawn", "log-det") else ""]
    extra += ["normalised" if result["gram"] == "normalised" else ""]
    extra += ["with divergence" if result["kl_weight"] else ""]
    return ", ".join([name, *(part for part in extra if part)])


def _fraction(lam: float) -> str:
    for top in (1, 2):
        bottom = top / lam
        if abs(bottom - round(bottom)) < 1e-3 * bottom:
            return str(top) if round(bottom) == 1 else f"{top}/{round(bottom)}"
    return f"{lam:g}"


def _alignment(results: list[Result], pool: dict[str, Resampled]) -> list[Result]:
    rows = []
    for base in (r for r in results if r["variant"] == "C" and r["middle"]):
        against = "C-VAE, no divergence" if is_plain(base) else "C-VAE"
        base_resampled = pool[base["name"]]
        for other in results:
            alike = all(other[key] == base[key] for key in ("seed", "channels"))
            if other["variant"] == "C" or not alike:
                continue
            resampled = pool[other["name"]]
            for coder in (c for c in other["bytes"] if c in base["bytes"]):
                rates = [curve_of(r, coder).rates_at(QUALITIES) for r in (base, other)]
                spread = _spread(base_resampled.rates(coder), resampled.rates(coder))
                rows += [
                    {**_named(other), "against": against, "coder": coder, **row}
                    for row in _differences(rates[0], rates[1], spread)
                ]
    return rows


def _coders(result: Result, resampled: Resampled) -> list[Result]:
    """Each coder against static coding of the same model."""
    reference = curve_of(result, REFERENCE).rates_at(QUALITIES)
    rows = []
    for coder in result["bytes"]:
        if coder == REFERENCE:
            continue
        rates = curve_of(result, coder).rates_at(QUALITIES)
        spread = _spread(resampled.rates(REFERENCE), resampled.rates(coder))
        saved = dict(
            zip(QUALITIES.tolist(), 8 * (rates - reference) / result["images"], strict=True)
        )
        rows += [
            {
                **_named(result),
                "coder": coder,
                **row,
                "bits_an_image": float(saved[row["psnr_db"]]),
            }
            for row in _differences(reference, rates, spread)
        ]
    return rows


def _gap(result: Result) -> list[Result]:
    """Joint entropy of eq. 2 against the sum of the marginals, at equal PSNR."""
    psnr = np.array([p["psnr_db"] for p in result["bytes"][REFERENCE]])
    joint = Curve.of(psnr, np.array([e["joint_bits"] for e in result["entropies"]]))
    apart = Curve.of(psnr, np.array([e["sum_bits"] for e in result["entropies"]]))
    rates = zip(QUALITIES, apart.rates_at(QUALITIES), joint.rates_at(QUALITIES), strict=True)
    return [
        {
            **_named(result),
            "psnr_db": float(quality),
            "joint_bits_a_pixel": b / result["pixels"],
            "sum_bits_a_pixel": a / result["pixels"],
            "gap": 1 - b / a,
        }
        for quality, a, b in rates
        if not np.isnan(a)
    ]


def _thresholds(result: Result, resampled: Resampled) -> list[Result]:
    """Rate at which the worst image reaches each threshold T of eq. 1, one step for all images."""
    worst = resampled.worst_psnr()
    if worst is None:
        return []
    rate = np.array([p["bytes"] for p in result["bytes"][REFERENCE]], float)
    rates = 8 * Curve.of(worst, rate).rates_at(THRESHOLDS) / result["pixels"]
    return [
        {**_named(result), "coder": REFERENCE, "threshold_db": float(t), "bits_a_pixel": float(r)}
        for t, r in zip(THRESHOLDS, rates, strict=True)
        if not np.isnan(r)
    ]


def _seeds(results: list[Result]) -> list[Result]:
    """Mean and deviation over seeds of what was trained with several."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        key = json.dumps([label_of(result), result["channels"]])
        groups.setdefault(key, []).append(result)
    rows = []
    for members in groups.values():
        if len(members) < 2:
            continue
        numbers: tuple[str, ...] = ("psnr_db", "rank_numerical", "rank_effective", "rank_energy_99")
        numbers += ("rank_energy_999", "cosine_within", "cosine_between", "cosine_median")
        numbers += ("silhouette", "knn_accuracy")
        row = {**_named(members[0]), "seeds": len(members)}
        for number in numbers:
            row[number] = _mean_and_deviation([m[number] for m in members])
        row["bits_a_pixel"] = []
        for coder in members[0]["bytes"]:
            if not all(coder in m["bytes"] for m in members):
                continue
            rates = np.stack(
                [8 * curve_of(m, coder).rates_at(QUALITIES) / m["pixels"] for m in members], axis=1
            )
            row["bits_a_pixel"] += [
                {"coder": coder, "psnr_db": float(psnr), **_mean_and_deviation(values.tolist())}
                for psnr, values in zip(QUALITIES, rates, strict=True)
                if not np.isnan(values).any()
            ]
        rows.append(row)
    return rows


def _mean_and_deviation(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1))}


def _named(result: Result) -> Result:
    keys = ("dataset", "variant", "lam", "seed", "channels")
    return {"model": label_of(result), **{key: result[key] for key in keys}}


def _resampled(result: Result, items: Path) -> Resampled:
    path = items / f"{result['name']}-items.npz"
    if not path.exists():
        return Resampled(result, {})
    with np.load(path, allow_pickle=False) as arrays:
        return Resampled(result, dict(arrays))


def _differences(a: Floats, b: Floats, spread: list[list[float] | None]) -> list[Result]:
    """Rows of b / a − 1 where both are known, with their intervals."""
    return [
        {"psnr_db": float(psnr), "difference": float(y / x - 1), "interval": interval}
        for psnr, x, y, interval in zip(QUALITIES, a, b, spread, strict=True)
        if not (np.isnan(x) or np.isnan(y))
    ]


def _spread(a: Floats | None, b: Floats | None) -> list[list[float] | None]:
    """Where 95 % of the resampled b / a − 1 lie at each PSNR; None where few resamples reach it."""
    nothing: list[list[float] | None] = [None] * len(QUALITIES)
    if a is None or b is None:
        return nothing
    ratios = b / a - 1
    for place, column in enumerate(ratios.T):
        known = column[~np.isnan(column)]
        if len(known) > RESAMPLES // 2:
            nothing[place] = [float(v) for v in np.percentile(known, INTERVAL)]
    return nothing
