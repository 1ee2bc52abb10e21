"""The paper's figures with what was measured, and Figure 3 again with true bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from papers.drawing import save_figure, start_drawing
from papers.gram import cosine_matrix
from papers.smic.comparison import Result, curve_of, is_plain, label_of

COLOURS = {"C": "#222222", "s": "#0072B2", "r": "#D55E00", "g": "#009E73"}
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""
NAMES = {"C": "C-VAE", "s": "sMIC-VAE", "r": "rMIC-VAE", "g": "gMIC-VAE"}
RANKS = {
    "rank_effective": "effective rank",
    "rank_energy_99": "rank holding 99 % of the energy",
    "rank_energy_999": "rank holding 99.9 % of the energy",
    "rank_numerical": "numerical rank (1e−6)",
}
CODERS = {
    "static": "static range coder",
    "huffman": "Huffman",
    "adaptive": "adaptive binary (CABAC)",
    "class-labels": "tables by class, labels sent",
    "class-clusters": "tables by inferred cluster",
    "klt": "KLT, basis sent",
    "klt-class-labels": "KLT, tables by class",
    "kin": "prediction from kin",
}
JOINT = ("class-labels", "class-clusters", "klt", "klt-class-labels", "kin")

Latents = Callable[[str], tuple[NDArray[np.float64], NDArray[np.int64]] | None]


def draw_all(
    results: Sequence[Result], compared: dict[str, Any], latents: Latents, folder: Path
) -> list[Path]:
    """Draw every figure that the results allow, as PNG and SVG; the files written."""
    start_drawing("smic")
    written = _latent_space(results, latents, folder)
    main = [r for r in results if r["dataset"] == "cifar10" and _is_default(r)]
    written += _rank_plot(main, folder)
    written += _bits_plot(main, folder)
    written += _joint_plot(results, compared, folder)
    return written


def _is_default(result: Result) -> bool:
    """Whether a model is one of Figure 3, of any seed."""
    widths = {"c4", "c64"}
    last = result["name"].split("-")[-1]
    return f"c{result['channels']}" in widths and (last.startswith("seed") or is_plain(result))


def _latent_space(results: Sequence[Result], latents: Latents, folder: Path) -> list[Path]:
    """Figure 2: Gram matrices and t-SNE of C-VAE and of sMIC-VAE at the largest λ."""
    base = _first(results, variant="C", kl=True)
    aligned = _first(results, variant="s", kl=False)
    found = [(r, latents(r["name"])) for r in (base, aligned) if r is not None]
    shown = [(r, pair) for r, pair in found if pair is not None]
    if len(shown) < 2:
        return []
    figure, axes = plt.subplots(2, 2, figsize=(9, 8.4))
    for column, (result, (B, labels)) in enumerate(shown):
        every = max(1, len(B) // 500)
        grey = np.abs(cosine_matrix(B[::every]))
        panel = axes[0, column]
        image = panel.imshow(grey, cmap="gray", vmin=0, vmax=0.6, interpolation="nearest")
        panel.set_title(f"{label_of(result)}: |cosine|, items by class")
        panel.set_xticks([])
        panel.set_yticks([])
        panel.grid(visible=False)
        figure.colorbar(image, ax=panel, fraction=0.045)
        perplexity = min(30, (len(B) - 1) // 3)
        points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(B)
        panel = axes[1, column]
        panel.scatter(*points.T, c=labels, cmap="tab10", s=5, linewidths=0, rasterized=True)
        panel.set_title(f"{label_of(result)}: t-SNE, coloured by class")
        panel.set_xticks([])
        panel.set_yticks([])
    return save_figure(figure, folder, "figure2")


def _rank_plot(results: Sequence[Result], folder: Path) -> list[Path]:
    """Figure 3: PSNR against each rank of the Gram matrix; other seeds as small points."""
    figure, axes = plt.subplots(1, len(RANKS), figsize=(15, 4), sharey=True)
    for panel, (rank, title) in zip(axes, RANKS.items(), strict=True):
        for variant, name in NAMES.items():
            of_variant = [r for r in results if r["variant"] == variant and not is_plain(r)]
            first = sorted((r for r in of_variant if r["seed"] == 0), key=lambda r: r["lam"])
            x, y = [r[rank] for r in first], [r["psnr_db"] for r in first]
            panel.plot(x, y, "o-", color=COLOURS[variant], label=name, ms=5, lw=1)
            others = [r for r in of_variant if r["seed"] != 0]
            panel.plot(
                [r[rank] for r in others],
                [r["psnr_db"] for r in others],
                "o",
                color=COLOURS[variant],
                ms=3,
                alpha=0.6,
            )
            if variant != "C" and first:
                panel.annotate("λ=1", (x[-1], y[-1]), textcoords="offset points", xytext=(4, -9))
        plain = [r for r in results if is_plain(r)]
        panel.plot(
            [r[rank] for r in plain],
            [r["psnr_db"] for r in plain],
            "s",
            color=COLOURS["C"],
            mfc="none",
            ms=5,
            label="C-VAE, no divergence",
        )
        panel.set_xlabel(title)
    axes[0].set_ylabel("PSNR, dB, not quantised")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, frameon=False, ncols=5, loc="lower center", bbox_to_anchor=(0.5, 0.9)
    )
    return save_figure(figure, folder, "figure3")


def _bits_plot(results: Sequence[Result], folder: Path) -> list[Path]:
    """Figure 3 with true bits: PSNR against bits a pixel on disk, all models, a panel a coder."""
    coders = [name for name in CODERS if any(name in r["bytes"] for r in results)]
    rows = (len(coders) + 3) // 4
    figure, axes = plt.subplots(
        rows, 4, figsize=(15, 3.8 * rows), sharey=True, sharex=True, squeeze=False
    )
    for panel, coder in zip(axes.flat, coders, strict=False):
        shown = [r for r in results if r["seed"] == 0 and coder in r["bytes"]]
        for result in sorted(shown, key=lambda r: r["variant"] == "C"):
            curve = curve_of(result, coder)
            lams = sorted({r["lam"] for r in shown if r["variant"] == result["variant"]})
            place = lams.index(result["lam"]) / max(1, len(lams) - 1)
            panel.plot(
                8 * curve.rate / result["pixels"],
                curve.psnr,
                "--" if is_plain(result) else "-",
                color=COLOURS[result["variant"]],
                alpha=1 if result["variant"] == "C" else 0.35 + 0.65 * place,
                lw=2 if result["variant"] == "C" else 1,
                label=_bits_label(result, lams),
            )
        panel.set_title(CODERS[coder])
    for panel in axes[-1]:
        panel.set_xlabel("8 × bytes on disk a pixel")
    for panel in axes[:, 0]:
        panel.set_ylabel("PSNR, dB")
    for panel in axes.flat[len(coders) :]:
        panel.set_visible(False)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, names, frameon=False, ncols=8, loc="lower center", bbox_to_anchor=(0.5, 0.93)
    )
    return save_figure(figure, folder, "figure3_true_bits")


def _bits_label(result: Result, lams: list[float]) -> str | None:
    """Entry of the legend: C-VAE, and the ends of each row of λ."""
    if result["variant"] == "C" or result["lam"] in (lams[0], lams[-1]):
        return label_of(result)
    return None


def _joint_plot(results: Sequence[Result], compared: dict[str, Any], folder: Path) -> list[Path]:
    """What joint coders save against static coding of the same model, at each PSNR."""
    datasets = [
        d for d in ("cifar10", "fashion_mnist", "emoji") if any(r["dataset"] == d for r in results)
    ]
    figure, axes = plt.subplots(
        len(datasets), len(JOINT), figsize=(15, 3.2 * len(datasets)), squeeze=False, sharex=True
    )
    for row, dataset in enumerate(datasets):
        for panel, coder in zip(axes[row], JOINT, strict=True):
            found = [
                r
                for r in compared["coders"]
                if r["dataset"] == dataset
                and r["coder"] == coder
                and r["seed"] == 0
                and r["channels"] in (4, 64)
                and "," not in r["model"].replace(", no divergence", "")
            ]
            for model in sorted({r["model"] for r in found}):
                of_model = [r for r in found if r["model"] == model]
                variant = of_model[0]["variant"]
                x = [r["psnr_db"] for r in of_model]
                panel.plot(
                    x,
                    [100 * r["difference"] for r in of_model],
                    "--" if model.endswith("no divergence") else "-",
                    color=COLOURS[variant],
                    lw=2 if variant == "C" else 1,
                    alpha=1 if variant in "C" else 0.5 + 0.5 * of_model[0]["lam"],
                )
                known = [r for r in of_model if r["interval"]]
                panel.fill_between(
                    [r["psnr_db"] for r in known],
                    [100 * r["interval"][0] for r in known],
                    [100 * r["interval"][1] for r in known],
                    color=COLOURS[variant],
                    alpha=0.12,
                    lw=0,
                )
            panel.axhline(0, color="#888888", lw=0.8)
            if row == 0:
                panel.set_title(CODERS[coder])
            if row == len(datasets) - 1:
                panel.set_xlabel("PSNR, dB")
        axes[row, 0].set_ylabel(f"{dataset}\nbytes against static, %")
    handles = [Line2D([], [], color=COLOURS[v], label=NAMES[v]) for v in NAMES]
    axes[0, 0].legend(handles=handles, frameon=False, fontsize=8)
    return save_figure(figure, folder, "joint_coders")


def _first(results: Sequence[Result], *, variant: str, kl: bool) -> Result | None:
    """The model of a variant with the largest λ, on CIFAR-10, seed 0, as Figure 3 has it."""
    fitting = [
        r
        for r in results
        if r["dataset"] == "cifar10"
        and r["variant"] == variant
        and bool(r["kl_weight"]) == kl
        and _is_default(r)
        and r["seed"] == 0
    ]
    return max(fitting, key=lambda r: r["lam"], default=None)
