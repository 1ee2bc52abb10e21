"""Tables of the experiment's page, made from its result files, so that no number is typed by hand.

    python -m papers.pqvae.tables [--check]

A table stands between ``<!-- numbers: NAME -->`` and ``<!-- end of numbers -->``. With --check
nothing is written, and the exit code is 1 where the page would change.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring.filled_page import UNMEASURED, fill_page
from benchmarks.measuring.places import RESULTS as BENCHMARK_RESULTS
from papers.pqvae.claims import PAPER
from papers.pqvae.own_plan import METHODS, UNLABELLED

HERE = Path(__file__).resolve().parent
PAGE = HERE / "README.md"
RESULTS = HERE / "results"
TRANSFER = BENCHMARK_RESULTS / "describers.json"
BITS = (32, 48, 64)
FAITHFUL = "pqvae-faithful"

PRINTED = {
    "LSH": (12.00, 12.00, 15.07),
    "spectral hashing": (13.30, 13.00, 13.89),
    "spherical hashing": (13.30, 13.00, 15.38),
    "ITQ": (16.20, 17.50, 16.64),
    "deep hashing": (16.62, 16.80, 16.69),
    "PQ-VAE": tuple(PAPER[bits] for bits in BITS),
}
"""mAP@1000 (%) as the slides print it, protocol unknown."""

Found = Any


def _read(*parts: str) -> Found:
    """A result file, or None where it is not there."""
    path = RESULTS.joinpath(*parts)
    return json.loads(path.read_text()) if path.exists() else None


def results_table() -> str:
    """The table, a line for each method and its inputs."""
    rows = [
        "| method | inputs | labels | 32 bits | 48 | 64 |",
        "|---|---|:-:|--:|--:|--:|",
    ]
    rows += [
        f"| {name}, *as printed* | not said | | " + " | ".join(f"{v:.2f}" for v in values) + " |"
        for name, values in PRINTED.items()
    ]
    found = _read("table.json")
    groups: dict[tuple[str, str, bool], dict[int, Found]] = {}
    for row in found:
        # GIST-512, PCA-64: which one, and how many dimensions of it were chosen.
        group = (row["method"], row["features"].partition("-")[0], row["labels"])
        groups.setdefault(group, {})[row["bits"]] = row
    for (method, features, labels), of_bits in groups.items():
        bold = "**" if method in (FAITHFUL, *METHODS) else ""
        cells = [_spread(of_bits.get(bits)) for bits in BITS]
        used = "yes" if labels else ""
        rows.append(f"| {bold}{method}{bold} | {features} | {used} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def claims_table() -> str:
    """Each claim with what was measured."""
    rows = ["| claim | read as | measured |", "|---|---|---|"]
    rows += [
        f"| {claim['claim']} | {claim['reading']} | {claim['sentence']} |"
        for claim in _read("claims.json")["claims"]
    ]
    return "\n".join(rows)


def search_table() -> str:
    """Held-out mAP@1000 of the search, a line for each shape, a column for each λ."""
    searched = _read("claims.json")["search"]
    lambdas = sorted({e["lam"] for entries in searched.values() for e in entries})
    rows = [
        "| bits | N, M, K | " + " | ".join(f"λ = {lam:g}" for lam in lambdas) + " |",
        "|--:|---|" + "--:|" * len(lambdas),
    ]
    for bits, entries in searched.items():
        for shape in dict.fromkeys((e["N"], e["M"], e["K"]) for e in entries):
            at = {e["lam"]: e for e in entries if (e["N"], e["M"], e["K"]) == shape}
            cells = [f"{at[lam]['symmetric']:.2f}" if lam in at else "–" for lam in lambdas]
            rows.append(
                f"| {bits} | {shape[0]}, {shape[1]}, {shape[2]} | " + " | ".join(cells) + " |"
            )
    return "\n".join(rows)


def chosen_table() -> str:
    """The chosen model of each length."""
    rows = [
        "| bits | N, M, K | d | λ | update | passes | held out | words of a position: made of "
        "| Σ H(Z_m), bits | distinct codes | PSNR, dB |",
        "|--:|---|--:|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for bits, c in _read("claims.json")["chosen"].items():
        held_out = c["held_out_map_at_1000"]["symmetric"]["all"]
        rows.append(
            f"| {bits} | {c['N']}, {c['M']}, {c['K']} | {c['d_used']} | {c['lam']:g} "
            f"| {c['update']} | {c['epochs']} | {held_out:.2f} "
            f"| {c['K']}^{c['M']}: {c['words_stored']} | {c['entropy_bits']:.1f} "
            f"| {c['distinct']:,.0f} | {c['psnr_db']:.2f} |"
        )
    return "\n".join(rows)


def queries_table() -> str:
    """Symmetric and asymmetric search, all queries and the first 1,000, of the measured models."""
    rows = [
        "| method | bits | symmetric, 10,000 queries | first 1,000 | asymmetric, 10,000 "
        "| first 1,000 |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    found = [
        (FAITHFUL, r["bits"], r["map_at_1000"])
        for r in _all("models")
        if r["seed"] == 0 and r["protocol"] == "A"
    ]
    found += [
        (r["method"], r["head"]["bits"], r["map_at_1000"])
        for r in _all("own")
        if "head" in r and r["head"]["seed"] == 0
    ]
    names = (FAITHFUL, *METHODS)
    for method, bits, maps in sorted(found, key=lambda f: (names.index(f[0]), f[1])):
        cells = [f"{maps[kind][q]:.2f}" for kind in ("symmetric", "asymmetric") for q in maps[kind]]
        rows.append(f"| {method} | {bits:g} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def watched_table() -> str:
    """How the descriptors learned without labels got better."""
    told = _read("own", "contrast.json")
    rows = [
        "| passes | minutes | mAP@1000, % | nearest is of the class, % |",
        "|--:|--:|--:|--:|",
    ]
    rows += [
        f"| {seen['epoch']:.0f} | {seen['minutes']:.0f} | {seen['map_at_1000']:.1f} "
        f"| {seen['nearest_is_kin_percent']:.1f} |"
        for seen in told["held_out"]
    ]
    return "\n".join(rows)


def heads_table() -> str:
    """Held-out mAP@1000 of the heads that were tried, 32 bits."""
    rows = [
        "| method | settings | held out | before quantising |",
        "|---|---|--:|--:|",
    ]
    for method in METHODS:
        choice = _read("own", f"{method}-held-out.json")
        for tried in choice["candidates"]:
            head = tried["head"]
            told = f"d = {head['d']}, {head['steps']:,} steps"
            if method == UNLABELLED:
                told += f", τ = {head['temperature']:g}, {head['neighbours']} neighbours"
            rows.append(
                f"| {method} | {told} | {tried['map_at_1000']:.2f} | {choice['unquantised']:.2f} |"
            )
    return "\n".join(rows)


def describers_table() -> str:
    """How well frozen networks find kin among pictures of other kinds, beside codecs' codes."""
    found = json.loads(TRANSFER.read_text())["rows"]
    sets = list(dict.fromkeys(row["data"] for row in found))
    rows = [
        "| codes of 8 bytes | " + " | ".join(f"{name}: 10 | 100" for name in sets) + " |",
        "|---|" + "--:|--:|" * len(sets),
    ]
    for codes in dict.fromkeys(row["codes"] for row in found):
        at = {row["data"]: row for row in found if row["codes"] == codes}
        cells = [
            f"{100 * at[name]['kin_among_10']:.1f} | {100 * at[name]['kin_among_100']:.1f}"
            for name in sets
        ]
        rows.append(f"| {codes} | " + " | ".join(cells) + " |")
    chance = {row["data"]: f"{100 * row['chance']:.1f}" for row in found}
    rows.append("| *chance* | " + " | ".join(f"{chance[n]} | {chance[n]}" for n in sets) + " |")
    return "\n".join(rows)


def cost_line() -> str:
    """What was trained, for how long, and where."""
    tried, models = _all("held-out"), _all("models")
    networks = [r for r in _all("own") if "network" in r]
    faithful = sum(r["minutes"]["training"] + r["minutes"]["evaluation"] for r in tried + models)
    spent = {r["network"]: r["minutes"] for r in networks}
    machine = tried[0]["machine"]
    return (
        f"PQ-VAE: {len(tried)} models of the search and the claims and {len(models)} chosen ones, "
        f"{faithful / 60:.1f} core-hours with their measurement. Our networks: "
        + ", ".join(f"{name} {minutes:.0f} minutes" for name, minutes in spent.items())
        + f" of one core each. {machine['processor']}, {machine['cores']} cores, no GPU, other "
        f"work beside; torch {tried[0]['torch']}."
    )


def _all(folder: str) -> list[Found]:
    return [json.loads(path.read_text()) for path in sorted((RESULTS / folder).glob("*.json"))]


def _spread(row: Found | None) -> str:
    if row is None:
        return "–"
    return (
        f"{row['map_at_1000']:.2f} ± {row['std']:.2f}"
        if row["seeds"] > 1
        else f"{row['map_at_1000']:.2f}"
    )


TABLES: dict[str, Callable[[], str]] = {
    "results": results_table,
    "claims": claims_table,
    "search": search_table,
    "chosen": chosen_table,
    "queries": queries_table,
    "watched": watched_table,
    "heads": heads_table,
    "describers": describers_table,
    "cost": cost_line,
}


def main() -> None:
    """Fill the page, or with --check say whether it is filled."""
    measured = (RESULTS / "table.json").exists() and (RESULTS / "claims.json").exists()

    def table(name: str) -> str:
        return TABLES[name]() if measured else UNMEASURED

    fill_page(PAGE, table)


if __name__ == "__main__":
    main()
