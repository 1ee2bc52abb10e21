"""The slides' pictures with what was measured, and the curves behind the claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from papers.datasets import LabelledPictures
from papers.drawing import save_figure, start_drawing
from papers.pqvae import training
from papers.pqvae.claims import PAPER
from papers.pqvae.evaluation import coder_of, drawn_again, latents_of
from papers.pqvae.models import SLIDE_LAMBDA, ModelConfig, Plan
from papers.pqvae.outcomes import Results, map_of

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""
SHOWN = 2000
"""Held-out pictures of a scatter plot."""
GRID = 8
"""Words of each book in the picture of product words."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What the figures are drawn from.

    Attributes:
        plan: which models were tried.
        results: of the held-out images.
        judged: the claims, as ``claims.judge`` gives them.
        rows: of the table; none where it is not written.
        pictures: held-out images.
        weights: where the weights of a model lie.
        chosen: model of each length.
    """

    plan: Plan
    results: Results
    judged: dict[str, Any]
    rows: Sequence[dict[str, Any]]
    pictures: LabelledPictures
    weights: Callable[[ModelConfig], Path]
    chosen: dict[int, ModelConfig]


def draw_all(shown: Shown, folder: Path) -> list[Path]:
    """Draw every figure that there are results for, as PNG and SVG; the files written."""
    start_drawing("pqvae")
    written = _latent_space(shown, folder)
    written += _sweeps(shown, folder)
    written += _search(shown, folder)
    written += _updates(shown, folder)
    written += _table(shown, folder)
    written += _product_words(shown, folder)
    return written


def _latent_space(shown: Shown, folder: Path) -> list[Path]:
    """z_e(x) in two dimensions: the plain autoencoder, and K = 25 words at each λ."""
    plain = shown.plan.against_plain()[0][0]
    models = [plain, *shown.plan.planar_by_lambda()]
    models = [m for m in models if shown.weights(m).exists()]
    if not models:
        return []
    columns = min(4, len(models))
    rows = -(-len(models) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.4 * columns, 3.3 * rows), squeeze=False)
    pictures = shown.pictures.take(np.arange(min(SHOWN, len(shown.pictures))))
    for panel, model in zip(axes.flat, models, strict=False):
        network, _ = training.load(shown.weights(model))
        z = latents_of(network, pictures.pixels)
        panel.scatter(*z.T, c=pictures.labels, cmap="tab10", s=4, linewidths=0, rasterized=True)
        if model.quantised:
            words = network.quantiser.books()[0].numpy()
            panel.scatter(*words.T, c="black", marker="x", s=18, linewidths=1)
        slides = ", as in the slides" if model.quantised and model.lam == SLIDE_LAMBDA else ""
        panel.set_title(
            f"K = {model.K}, λ = {model.lam:g}{slides}" if model.quantised else "no bottleneck"
        )
    for panel in axes.flat[len(models) :]:
        panel.set_visible(False)
    figure.tight_layout()
    return save_figure(figure, folder, "latent_space")


def _sweeps(shown: Shown, folder: Path) -> list[Path]:
    """A panel for each claim about a sweep, its verdict above it."""
    swept = [c for c in shown.judged["claims"] if "rank_correlation" in c]
    if not swept:
        return []
    rows = -(-len(swept) // 4)
    figure, axes = plt.subplots(rows, 4, figsize=(15, 3.3 * rows), squeeze=False)
    for panel, claim in zip(axes.flat, swept, strict=False):
        panel.plot(claim["x"], claim["y"], "o-", color=COLOURS[0], ms=4, lw=1)
        smallest = min((x for x in claim["x"] if x > 0), default=1.0)
        panel.set_xscale("symlog", linthresh=smallest)
        panel.set_xticks(claim["x"], [f"{x:g}" for x in claim["x"]], minor=False)
        panel.minorticks_off()
        panel.set_ylabel(claim["reading"], fontsize=7)
        panel.set_title(f"{claim['name']}: {claim['verdict']}", fontsize=9)
    for panel in axes.flat[len(swept) :]:
        panel.set_visible(False)
    figure.tight_layout()
    return save_figure(figure, folder, "claims")


def _search(shown: Shown, folder: Path) -> list[Path]:
    """mAP@1000 against λ, a panel a length, a line a shape."""
    lengths = [bits for bits in shown.plan.shapes if shown.judged["search"].get(str(bits))]
    if not lengths:
        return []
    figure, axes = plt.subplots(
        1, len(lengths), figsize=(4.6 * len(lengths), 3.8), squeeze=False, sharey=True
    )
    for panel, bits in zip(axes[0], lengths, strict=True):
        lines = shown.judged["search"][str(bits)]
        for colour, (N, M, K) in zip(COLOURS, shown.plan.shapes[bits], strict=False):
            of_shape = [e for e in lines if (e["N"], e["M"], e["K"]) == (N, M, K)]
            of_shape.sort(key=lambda e: float(e["lam"]))
            panel.plot(
                [e["lam"] for e in of_shape],
                [e["symmetric"] for e in of_shape],
                "o-",
                color=colour,
                ms=4,
                lw=1,
                label=f"N = {N}, M = {M}, K = {K}",
            )
        panel.set_xscale("log")
        panel.set_xlabel("λ")
        panel.set_title(f"{bits} bits")
        panel.legend(frameon=False, fontsize=7)
    axes[0, 0].set_ylabel("mAP@1000, %, 5,000 held-out queries")
    return save_figure(figure, folder, "map_against_lambda")


def _updates(shown: Shown, folder: Path) -> list[Path]:
    """Perplexity and held-out mAP of each update of the codebook."""
    brief = [replace(best, epochs=shown.plan.brief) for best in shown.chosen.values()]
    models = [m for best in brief for m in shown.plan.updates(best)]
    if not (tried := shown.results.of(list(dict.fromkeys(models)))):
        return []
    figure, panel = plt.subplots(figsize=(6, 3.8))
    for result in tried:
        curve = [e for e in result["training"]["curve"] if "perplexity" in e]
        place = ("mean", "gradient", "average").index(result["update"])
        panel.plot(
            [e["step"] for e in curve],
            [e["perplexity"] / result["K"] for e in curve],
            color=COLOURS[place],
            lw=1,
            label=(
                f"{result['update']}, {result['bits']:g} bits: mAP@1000 {map_of(result):.2f} %, "
                f"{result['psnr_db']:.2f} dB"
            ),
        )
    panel.set_xlabel("step")
    panel.set_ylabel("perplexity of a book / K")
    panel.set_ylim(0, 1.02)
    panel.legend(frameon=False, fontsize=7)
    return save_figure(figure, folder, "updates")


def _table(shown: Shown, folder: Path) -> list[Path]:
    """mAP@1000 against bits, every row of the table, and the paper's figures."""
    if not shown.rows:
        return []
    figure, panel = plt.subplots(figsize=(6.4, 4.2))
    names = list(dict.fromkeys((r["method"], r["features"].partition("-")[0]) for r in shown.rows))
    for i, (method, features) in enumerate(names):
        rows = [
            r
            for r in shown.rows
            if r["method"] == method and r["features"].partition("-")[0] == features
        ]
        own = method.startswith(("pqvae", "ours"))
        panel.errorbar(
            [r["bits"] for r in rows],
            [r["map_at_1000"] for r in rows],
            [r["std"] for r in rows],
            fmt="o-" if own else "s--",
            color=COLOURS[i % len(COLOURS)],
            ms=4,
            lw=1.6 if own else 0.8,
            label=f"{method} ({features})",
        )
    panel.plot(list(PAPER), list(PAPER.values()), "k*", label="PQ-VAE as printed")
    panel.set_xticks(sorted({r["bits"] for r in shown.rows}))
    panel.set_xlabel("bits")
    panel.set_ylabel(f"mAP@1000, %, protocol {shown.rows[0]['protocol']}")
    panel.legend(frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.tight_layout()
    return save_figure(figure, folder, "map_against_bits")


def _product_words(shown: Shown, folder: Path) -> list[Path]:
    """K^M words by example: two books of 8 words make 64 pictures, all else as in one picture."""
    model = next((m for m in shown.chosen.values() if shown.weights(m).exists()), None)
    if model is None or model.N * model.M < 2:
        return []
    network, _ = training.load(shown.weights(model))
    z = latents_of(network, shown.pictures.pixels[:1])
    coder = coder_of(network, z)
    codes = np.repeat(coder.codes(z), GRID * GRID, axis=0)
    words = np.linspace(0, model.K - 1, GRID).round().astype(np.uint8)
    codes[:, 0], codes[:, 1] = np.repeat(words, GRID), np.tile(words, GRID)
    drawn = drawn_again(network, coder.quantiser.decode(codes))
    sheet = drawn.reshape(GRID, GRID, *drawn.shape[1:]).swapaxes(1, 2)
    sheet = sheet.reshape(GRID * drawn.shape[1], GRID * drawn.shape[2], -1).squeeze()
    figure, panel = plt.subplots(figsize=(5, 5))
    panel.imshow(sheet, cmap="gray" if sheet.ndim == 2 else None, interpolation="nearest")
    panel.grid(visible=False)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.set_xlabel(f"{GRID} of the {model.K} words of sub-index 2")
    panel.set_ylabel(f"{GRID} of the {model.K} words of sub-index 1")
    count = model.K ** (model.N * model.M)
    panel.set_title(
        f"{GRID}×{GRID} of {model.K}^{model.N * model.M} = {count:.2e} codes, "
        f"{model.K * model.M} words stored",
        fontsize=9,
    )
    return save_figure(figure, folder, "product_words")
