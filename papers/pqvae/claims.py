"""The slides' claims, each with what was measured on held-out images: confirmed or not.

A claim that something rises along a sweep is *confirmed* where the rank correlation is at least
0.8, *refuted* where it is at most −0.8, else *not confirmed*; three models at least. What a word of
the slides is read as stands with each claim; where it can be read in two ways, both are judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from papers.pqvae.models import SLIDE_WORDS, ModelConfig, Plan
from papers.pqvae.outcomes import Reading, Result, Results, field, map_of, trend

PAPER = {32: 21.86, 48: 22.79, 64: 23.42}
"""mAP@1000 (%) of PQ-VAE as printed, protocol unknown."""

Claim = dict[str, Any]


def judge(plan: Plan, results: Results, best: dict[int, Result]) -> dict[str, Any]:
    """Judge every claim that there are results for.

    Args:
        plan: which models were tried.
        results: of the held-out images.
        best: result of the chosen model of each length.

    Returns:
        ``claims``, a list of ``{name, claim, reading, x, y, rank_correlation, verdict,
        sentence}`` (others have the numbers they need instead of x and y), ``chosen`` and
        ``search``: held-out mAP@1000 of every model of the search.
    """
    found = [
        *_of_lambda(plan, results),
        *_of_words(plan, results),
        *_of_epsilon(plan, results),
        *_of_bottleneck(plan, results),
        *_of_search(plan, results, best),
    ]
    searched = {
        str(bits): [
            {"name": r["name"], "N": r["N"], "M": r["M"], "K": r["K"], "lam": r["lam"]}
            | {kind: map_of(r, kind) for kind in r["map_at_1000"]}
            for r in _searched(plan, results, bits)
        ]
        for bits in plan.shapes
    }
    return {
        "held_out_labels_used": True,
        "chosen": {str(bits): _chosen_line(r) for bits, r in best.items()},
        "claims": found,
        "search": searched,
    }


def _of_lambda(plan: Plan, results: Results) -> list[Claim]:
    planar = results.of(plan.planar_by_lambda())
    claim = "λ up, discriminability of the latent code up"
    found = [
        _sweep(
            "lambda-entropy", claim, "H(Z), bits", "λ", "lam", field("entropy_joint_bits"), planar
        ),
        _sweep(
            "lambda-separation",
            claim,
            "variance of z_e over its distance to the words, dB",
            "λ",
            "lam",
            field("separation_db"),
            planar,
        ),
        _sweep("lambda-map", claim, "mAP@1000, % (two dimensions)", "λ", "lam", map_of, planar),
    ]
    return [c for c in found if c]


def _of_words(plan: Plan, results: Results) -> list[Claim]:
    planar = results.of(plan.planar_by_words())
    books = results.of(plan.by_book_words())
    found = [
        _sweep(
            "words-entropy",
            "a small codebook gives low discriminability, a large one high",
            "H(Z), bits",
            "K",
            "K",
            field("entropy_joint_bits"),
            planar,
        ),
        _sweep(
            "words-spread",
            "a large codebook sends neighbours to words far away from each other",
            "distance in z_q of nearest pictures, relative to strangers",
            "K",
            "K",
            field("spread"),
            planar,
        ),
        _sweep(
            "words-spread-books",
            "a large codebook sends neighbours to words far away from each other",
            "the same, four books",
            "K",
            "K",
            field("spread"),
            books,
        ),
        _sweep(
            "words-encoder",
            "with a small codebook the encoder keeps neighbours close: with K their distance grows",
            "distance in z_e of nearest pictures, relative to strangers",
            "K",
            "K",
            field("spread_e"),
            planar,
        ),
        _sweep("words-map", "mAP grows with K (M = 4)", "mAP@1000, %", "K", "K", map_of, books),
    ]
    return [c for c in found if c]


def _of_epsilon(plan: Plan, results: Results) -> list[Claim]:
    swept = results.of(plan.by_epsilon())
    name = "L = d_IB + ε·H(Z): ε up, H(Z) down"
    found = [
        _sweep(
            "epsilon-rate",
            name,
            "H(p, r), bits",
            "ε",
            "epsilon",
            field("cross_entropy_bits"),
            swept,
            falls=True,
        ),
        _sweep(
            "epsilon-entropy",
            name,
            "Σ H(Z_m), bits",
            "ε",
            "epsilon",
            field("entropy_bits"),
            swept,
            falls=True,
        ),
        _sweep(
            "epsilon-distortion",
            "ε up, the bound of d_IB up",
            "½‖x − x̂‖²/ln 2, bits",
            "ε",
            "epsilon",
            field("d_ib_distortion_bits"),
            swept,
        ),
    ]
    return [c for c in found if c]


def _of_bottleneck(plan: Plan, results: Results) -> list[Claim]:
    """The autoencoder with a bottleneck against the plain one, coded afterwards by k-means."""
    found = []
    names = (f"two dimensions, K = {SLIDE_WORDS}", "32 bits, 4 books of 256")
    keys = ("bottleneck-planar", "bottleneck-wide")
    for key_of_pair, name, (plain, quantised) in zip(
        keys, names, plan.against_plain(), strict=True
    ):
        pair = results.of([plain, quantised])
        if len(pair) < 2:
            continue
        numbers = {
            key: {
                "map_at_1000": map_of(r),
                "spread": r["spread"],
                "spread_e": r["spread_e"],
                "psnr_db": r["psnr_db"],
            }
            for key, r in zip(("autoencoder", "bottleneck"), pair, strict=True)
        }
        a, b = numbers["autoencoder"], numbers["bottleneck"]
        better = (b["spread"] < a["spread"], b["map_at_1000"] > a["map_at_1000"])
        verdict = {2: "confirmed", 1: "half confirmed", 0: "refuted"}[sum(better)]
        found.append(
            {
                "name": key_of_pair,
                "claim": "a VQ bottleneck enforces a similarity-preserving mapping",
                "reading": f"{name}: nearest pictures closer together in z_q, and a higher mAP",
                **numbers,
                "verdict": verdict,
                "sentence": (
                    f"{name}: neighbours are {a['spread']:.3f} of a stranger's distance apart "
                    f"without and {b['spread']:.3f} with the bottleneck, mAP@1000 is "
                    f"{a['map_at_1000']:.2f} and {b['map_at_1000']:.2f} %: {verdict}."
                ),
            }
        )
    return found


def _of_search(plan: Plan, results: Results, best: dict[int, Result]) -> list[Claim]:
    found: list[Claim] = []
    for bits in plan.shapes:
        searched = _searched(plan, results, bits)
        if not searched:
            continue
        top = max(searched, key=map_of)
        shape = [r for r in searched if all(r[key] == top[key] for key in "NMK")]
        by_lambda = {r["lam"]: map_of(r) for r in sorted(shape, key=lambda r: float(r["lam"]))}
        low, high = min(by_lambda.values()), max(by_lambda.values())
        found.append(
            {
                "name": f"search-lambda-{bits}",
                "claim": "λ controls the bottleneck, and is to be searched",
                "reading": f"mAP@1000 of the best shape of {bits} bits over λ",
                "x": list(by_lambda),
                "y": list(by_lambda.values()),
                "verdict": "confirmed" if high - low >= 0.5 else "refuted",
                "sentence": (
                    f"{bits} bits, N = {top['N']}, M = {top['M']}, K = {top['K']}: over "
                    f"λ = {min(by_lambda):g} to {max(by_lambda):g} the mAP@1000 goes from "
                    f"{low:.2f} to {high:.2f} %, best at λ = {top['lam']:g}."
                ),
            }
        )
        by_words = {
            K: max(map_of(r) for r in searched if r["K"] == K) for K in {r["K"] for r in searched}
        }
        if {16, 256} <= set(by_words):
            found.append(
                {
                    "name": f"search-words-{bits}",
                    "claim": "K = 256 against K = 16 at the same bits",
                    "reading": "the best mAP@1000 of each over λ and N",
                    "x": sorted(by_words),
                    "y": [by_words[K] for K in sorted(by_words)],
                    "verdict": "K = 256" if by_words[256] > by_words[16] else "K = 16",
                    "sentence": (
                        f"{bits} bits: {by_words[16]:.2f} % with K = 16 (fast scan), "
                        f"{by_words[256]:.2f} % with K = 256."
                    ),
                }
            )
    chosen = [best[bits] for bits in sorted(best)]
    bits_claim = _sweep(
        "bits-map",
        "mAP grows with the bits",
        "mAP@1000, %, chosen models",
        "R",
        "bits",
        map_of,
        chosen,
    )
    found += [bits_claim] if bits_claim else []
    return found


def _searched(plan: Plan, results: Results, bits: int) -> list[Result]:
    """Results of the search of a length, its finer stage with it."""
    found = results.of(plan.search(bits))
    if not found:
        return []
    best = ModelConfig.from_dict(max(found, key=map_of))
    return found + results.of(plan.finer(best)[1:])


def _sweep(
    name: str,
    claim: str,
    reading: str,
    letter: str,
    swept: str,
    measure: Reading,
    results: Sequence[Result],
    *,
    falls: bool = False,
) -> Claim | None:
    """Judge one sweep: whether the measure rises, or ``falls``, with what is swept."""
    if not results:
        return None
    ordered = sorted(results, key=lambda r: float(r[swept]))
    x, y = [float(r[swept]) for r in ordered], [measure(r) for r in ordered]
    rho, verdict = trend(x, [-value for value in y] if falls else y)
    rho = -rho if falls else rho
    return {
        "name": name,
        "claim": claim,
        "reading": reading,
        "x": x,
        "y": y,
        "rank_correlation": rho,
        "verdict": verdict,
        "sentence": (
            f"{letter} from {x[0]:g} to {x[-1]:g}: {reading} goes from {y[0]:.3f} to {y[-1]:.3f} "
            f"(rank correlation {rho:.2f}): {verdict}."
        ),
    }


def _chosen_line(result: Result) -> dict[str, Any]:
    """What the chosen model of a length is, and how many words it has by how few it keeps."""
    line = {
        key: result[key]
        for key in (
            *("name", "N", "M", "K", "d_used", "lam", "beta", "update", "epochs", "psnr_db"),
            *("entropy_bits", "cross_entropy_bits", "uniform_bits", "perplexity", "distinct"),
        )
    }
    line["held_out_map_at_1000"] = result["map_at_1000"]
    line["words_of_a_position"] = f"{result['K']}^{result['M']} = {result['K'] ** result['M']}"
    line["words_stored"] = result["K"] * result["M"]
    return line
