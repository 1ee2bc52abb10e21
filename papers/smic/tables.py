"""Tables of the experiment's page, made from its result files, so that no number is typed by hand.

    python -m papers.smic.tables [--check]

A table stands between ``<!-- numbers: NAME -->`` and ``<!-- end of numbers -->``. With --check
nothing is written, and the exit code is 1 where the page would change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.filled_page import UNMEASURED, fill_page
from papers.smic.comparison import Result, label_of, read_results
from papers.smic.figures import CODERS
from papers.smic.models import MIDDLE

HERE = Path(__file__).resolve().parent
PAGE = HERE / "README.md"
RESULTS = HERE / "results"

SHOWN = ("C-VAE", "C-VAE, no divergence", "sMIC λ=1", "sMIC λ=1/10", "sMIC λ=1/50")
"""Models of the tables that cannot hold all of them."""
DATASETS = {"cifar10": "CIFAR-10", "fashion_mnist": "Fashion-MNIST", "emoji": "emoji"}
LABEL_STEP = 0.5
"""Relative quantiser step at which the worth of labels is shown."""
ORDER = {"C": 0, "s": 1, "r": 2, "g": 3}

Compared = dict[str, Any]


def models_table(results: Sequence[Result], compared: Compared) -> str:
    """The models of Figure 3 and C-VAE without divergence, seed 0."""
    shown = [r for r in results if _of_figure(r) and r["seed"] == 0]
    rows = [
        "| model | PSNR, dB | rank: effective | 99 % | 99.9 % | numerical | \\|cos\\| within "
        "| between | median | silhouette | 10-NN, % |",
        "|---|" + "--:|" * 10,
    ]
    rows += [
        f"| {label_of(r)} | {r['psnr_db']:.2f} | {r['rank_effective']:.0f} "
        f"| {r['rank_energy_99']} | {r['rank_energy_999']} | {r['rank_numerical']} "
        f"| {r['cosine_within']:.3f} | {r['cosine_between']:.3f} | {r['cosine_median']:.3f} "
        f"| {r['silhouette']:.3f} | {100 * r['knn_accuracy']:.1f} |"
        for r in sorted(shown, key=lambda r: (ORDER[r["variant"]], -r["lam"], r["kl_weight"] == 0))
    ]
    return "\n".join(rows)


def seeds_table(results: Sequence[Result], compared: Compared) -> str:
    """Mean and deviation over seeds."""
    rows = [
        "| model | seeds | PSNR, dB | effective rank | 99 % | \\|cos\\| within | between "
        "| silhouette | 10-NN, % |",
        "|---|" + "--:|" * 8,
    ]
    for r in sorted(compared["seeds"], key=lambda r: (ORDER[r["variant"]], -r["lam"])):
        cells = [
            _spread(r["psnr_db"], 2),
            _spread(r["rank_effective"], 0),
            _spread(r["rank_energy_99"], 0),
            _spread(r["cosine_within"], 3),
            _spread(r["cosine_between"], 3),
            _spread(r["silhouette"], 3),
            _spread(r["knn_accuracy"], 1, 100),
        ]
        rows.append(f"| {r['model']} | {r['seeds']} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def draws_table(results: Sequence[Result], compared: Compared) -> str:
    """Spread over the toy database and three further draws."""
    rows = [
        "| model | PSNR, dB | effective rank | 99 % |",
        "|---|--:|--:|--:|",
    ]
    for r in _shown(results, "cifar10"):
        cells = [
            f"{min(v):{form}} to {max(v):{form}}"
            for key, form in (
                ("psnr_db", ".2f"),
                ("rank_effective", ".0f"),
                ("rank_energy_99", "d"),
            )
            if (v := [r[key], *(draw[key] for draw in r["draws"])])
        ]
        rows.append(f"| {label_of(r)} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def alignment_table(results: Sequence[Result], compared: Compared) -> str:
    """Bytes of sMIC over those of C-VAE without divergence, at equal PSNR, by coder."""
    found = [
        row
        for row in compared["alignment"]
        if row["against"] == "C-VAE, no divergence" and row["seed"] == 0 and row["channels"] == 64
    ]
    coders = [c for c in CODERS if any(row["coder"] == c for row in found)]
    rows = [
        "| data | model | PSNR, dB | " + " | ".join(CODERS[c] for c in coders) + " |",
        "|---|---|--:|" + "--:|" * len(coders),
    ]
    for dataset, title in DATASETS.items():
        for model in (m for m in SHOWN if m.startswith("s")):
            of_model = [r for r in found if r["dataset"] == dataset and r["model"] == model]
            for psnr in sorted({r["psnr_db"] for r in of_model} & {20.0, 24.0, 28.0}):
                cells = [
                    _difference(
                        [r for r in of_model if r["psnr_db"] == psnr and r["coder"] == coder]
                    )
                    for coder in coders
                ]
                rows.append(f"| {title} | {model} | {psnr:.0f} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def variants_table(results: Sequence[Result], compared: Compared) -> str:
    """Bytes of every aligned model over C-VAE without divergence, static coder and best joint."""
    coders = ("static", "adaptive", "class-labels", "klt", "kin")
    rows = [
        "| model | PSNR, dB | " + " | ".join(CODERS[c] for c in coders) + " |",
        "|---|--:|" + "--:|" * len(coders),
    ]
    found = [
        row
        for row in compared["alignment"]
        if row["against"] == "C-VAE, no divergence"
        and row["seed"] == 0
        and row["channels"] == 64
        and row["dataset"] == "cifar10"
        and row["psnr_db"] == 24
        and "," not in row["model"]
    ]
    names = sorted({(ORDER[r["variant"]], -r["lam"], r["model"]) for r in found})
    for _, _, model in names:
        cells = [
            _difference([r for r in found if r["model"] == model and r["coder"] == coder])
            for coder in coders
        ]
        rows.append(f"| {model} | 24 | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def coders_table(results: Sequence[Result], compared: Compared) -> str:
    """Every coder against static coding of the same model, at 24 dB, in percent and bits."""
    coders = [c for c in CODERS if c != "static"]
    rows = [
        "| data | model | " + " | ".join(CODERS[c] for c in coders) + " |",
        "|---|---|" + "--:|" * len(coders),
    ]
    for dataset, title in DATASETS.items():
        for model in SHOWN:
            found = [
                r
                for r in compared["coders"]
                if r["dataset"] == dataset
                and r["model"] == model
                and r["seed"] == 0
                and r["channels"] == 64
                and r["psnr_db"] == 24
            ]
            if not found:
                continue
            cells = []
            for coder in coders:
                of_coder = [r for r in found if r["coder"] == coder]
                bits = f" ({of_coder[0]['bits_an_image']:+.0f})" if of_coder else ""
                cells.append(_difference(of_coder) + bits)
            rows.append(f"| {title} | {model} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def labels_table(results: Sequence[Result], compared: Compared) -> str:
    """What knowing the class takes off the symbols alone, with and without the KLT, in bits."""
    rows = [
        f"| data | model | bits an image taken off the symbols at step {LABEL_STEP:g}: of "
        "dimensions as they are | of KLT coefficients | price: labels and tables, bits an image |",
        "|---|---|--:|--:|--:|",
    ]
    for dataset, title in DATASETS.items():
        for r in _shown(results, dataset):
            if not {"klt", "klt-class-labels", "class-labels"} <= set(r["bytes"]):
                continue
            cells = [
                f"{8 * (_symbols(r, before) - _symbols(r, after)) / r['images']:.1f}"
                for before, after in (("static", "class-labels"), ("klt", "klt-class-labels"))
            ]
            price = _point(r, "class-labels")["shared_bytes"] - _point(r, "static")["shared_bytes"]
            cells.append(f"{8 * price / r['images']:.1f}")
            rows.append(f"| {title} | {label_of(r)} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def gap_table(results: Sequence[Result], compared: Compared) -> str:
    """Joint entropy of eq. 2 and the sum of the marginals, at equal PSNR."""
    rows = [
        "| model | PSNR, dB | sum of marginals, bits a pixel | joint (eq. 2) | gap, % |",
        "|---|--:|--:|--:|--:|",
    ]
    for model in SHOWN:
        for psnr in (20.0, 24.0, 28.0):
            for r in compared["entropy_gap"]:
                fits = r["dataset"] == "cifar10" and r["seed"] == 0 and r["channels"] == 64
                if fits and r["model"] == model and r["psnr_db"] == psnr:
                    rows.append(
                        f"| {model} | {psnr:.0f} | {r['sum_bits_a_pixel']:.3f} "
                        f"| {r['joint_bits_a_pixel']:.3f} | {100 * r['gap']:.1f} |"
                    )
    return "\n".join(rows)


def thresholds_table(results: Sequence[Result], compared: Compared) -> str:
    """Bits a pixel of static coding at which every image is above T (eq. 1)."""
    found = [
        r
        for r in compared["thresholds"]
        if r["dataset"] == "cifar10" and r["seed"] == 0 and r["channels"] == 64
    ]
    shown = (14.0, 16.0, 18.0, 20.0, 22.0)
    rows = [
        "| every image above | " + " | ".join(f"{t:.0f} dB" for t in shown) + " |",
        "|---|" + "--:|" * len(shown),
    ]
    for model in SHOWN:
        rates = {r["threshold_db"]: r["bits_a_pixel"] for r in found if r["model"] == model}
        cells = [f"{rates[t]:.2f}" if t in rates else "–" for t in shown]
        rows.append(f"| {model} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def seeds_bits_table(results: Sequence[Result], compared: Compared) -> str:
    """Bits a pixel on disk at 24 dB, mean and deviation over seeds."""
    coders = ("static", "adaptive", "class-labels", "klt", "kin")
    rows = [
        "| model | seeds | " + " | ".join(CODERS[c] for c in coders) + " |",
        "|---|--:|" + "--:|" * len(coders),
    ]
    for r in sorted(compared["seeds"], key=lambda r: (ORDER[r["variant"]], -r["lam"])):
        cells = []
        for coder in coders:
            at = [b for b in r["bits_a_pixel"] if b["coder"] == coder and b["psnr_db"] == 24]
            cells.append(_spread(at[0], 3) if at else "–")
        rows.append(f"| {r['model']} | {r['seeds']} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def varied_table(results: Sequence[Result], compared: Compared) -> str:
    """Other widths, readings and options."""
    rows = [
        "| model | channels | D | PSNR, dB | effective rank | 99 % | \\|cos\\| within | between "
        "| 10-NN, % |",
        "|---|" + "--:|" * 8,
    ]
    varied = [
        r
        for r in results
        if r["dataset"] == "cifar10" and r["seed"] == 0 and (not _of_figure(r) or r["lam"] == 0.1)
    ]
    rows += [
        f"| {label_of(r)} | {r['channels']} | {r['D']} | {r['psnr_db']:.2f} "
        f"| {r['rank_effective']:.0f} | {r['rank_energy_99']} | {r['cosine_within']:.3f} "
        f"| {r['cosine_between']:.3f} | {100 * r['knn_accuracy']:.1f} |"
        for r in sorted(varied, key=lambda r: (r["channels"], ORDER[r["variant"]], -r["lam"]))
    ]
    return "\n".join(rows)


def answer_line(results: Sequence[Result], compared: Compared) -> str:
    """How often each aligned variant took fewer bytes than C-VAE, and by how much at best."""
    told = []
    for variant, name in (("s", "sMIC"), ("r", "rMIC"), ("g", "gMIC")):
        found = [r["difference"] for r in compared["alignment"] if r["variant"] == variant]
        fewer = sum(difference < 0 for difference in found)
        told.append(
            f"{name} takes fewer bytes in {fewer} of {len(found)} ({100 * min(found):+.1f} to "
            f"{100 * max(found):+.0f} %)"
        )
    return (
        "Of all comparisons with C-VAE, with and without divergence, over data sets, widths, "
        f"seeds, λ, coders and PSNR: {'; '.join(told)}."
    )


def cost_line(results: Sequence[Result], compared: Compared) -> str:
    """What the models took to train, and with what they were measured."""
    minutes = sum(r["training"]["minutes"] for r in results)
    versions = results[0]["versions"]
    told = ", ".join(f"{name} {versions[name]}" for name in ("torch", "numpy", "constriction"))
    return (
        f"{len(results)} models; {minutes / 60:.1f} core-hours of training "
        f"({results[0]['machine']}, one thread a model; {told})."
    )


TABLES: dict[str, Callable[[Sequence[Result], Compared], str]] = {
    "models": models_table,
    "seeds": seeds_table,
    "draws": draws_table,
    "alignment": alignment_table,
    "variants": variants_table,
    "coders": coders_table,
    "gap": gap_table,
    "labels": labels_table,
    "thresholds": thresholds_table,
    "seeds-bits": seeds_bits_table,
    "varied": varied_table,
    "cost": cost_line,
    "answer": answer_line,
}


def main() -> None:
    """Fill the page, or with --check say whether it is filled."""
    results = read_results(RESULTS / "models")
    path = RESULTS / "comparison.json"
    compared = json.loads(path.read_text()) if path.exists() else None

    def table(name: str) -> str:
        return TABLES[name](results, compared) if results and compared else UNMEASURED

    fill_page(PAGE, table)


def _of_figure(result: Result) -> bool:
    """Whether a model is one of Figure 3 or C-VAE without divergence, of any seed."""
    return bool(
        result["dataset"] == "cifar10"
        and result["channels"] == 64
        and result["gram"] == "raw"
        and result["middle"] == MIDDLE
        and result["reading"] in ("", "fixed", "ones")
        and (result["kl_weight"] == 0 or result["variant"] == "C")
    )


def _shown(results: Sequence[Result], dataset: str) -> list[Result]:
    fitting = [r for r in results if r["dataset"] == dataset and r["seed"] == 0]
    fitting = [r for r in fitting if r["channels"] == 64 and label_of(r) in SHOWN]
    return sorted(fitting, key=lambda r: SHOWN.index(label_of(r)))


def _point(result: Result, coder: str) -> Result:
    """A coder's point at ``LABEL_STEP``."""
    found: Result = next(p for p in result["bytes"][coder] if p["step"] == LABEL_STEP)
    return found


def _symbols(result: Result, coder: str) -> int:
    """Bytes of the symbols alone at ``LABEL_STEP``."""
    point = _point(result, coder)
    return int(point["bytes"] - point["shared_bytes"])


def _difference(rows: list[Result]) -> str:
    """A difference in percent with its interval; a dash where there is none."""
    if not rows:
        return "–"
    text = f"{100 * rows[0]['difference']:+.1f}"
    if rows[0]["interval"]:
        low, high = (100 * v for v in rows[0]["interval"])
        text += f" [{low:+.1f}, {high:+.1f}]"
    return text


def _spread(value: dict[str, float], places: int, factor: float = 1.0) -> str:
    if np.isnan(value["mean"]):
        return "–"
    return f"{factor * value['mean']:.{places}f} ± {factor * value['std']:.{places}f}"


if __name__ == "__main__":
    main()
