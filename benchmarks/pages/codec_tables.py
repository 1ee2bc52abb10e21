"""Write the tables of docs/codec.md and codec-rates.md from the result files: no number is typed.

    python -m benchmarks.pages.codec_tables [--check]

Tables stand between the same marks as in README.md (`filled_page`). With --check nothing is
written, and the exit code is 1 where the page would change.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks.measuring.filled_page import UNMEASURED, fill_page
from benchmarks.measuring.measures import NAMES
from benchmarks.measuring.places import RESULTS, ROOT

PAGES = ROOT / "docs" / "codec.md", ROOT / "docs" / "codec-rates.md"

Results = dict[str, Any]

#: How the page calls what ours is compared with.
ANCHORS = {
    "avif-payload-s4": "AVIF speed 4, header stripped",
    "avif-sheet-s0": "one AVIF sheet, speed 0",
    "webp-file": "WebP files",
    "jpeg-file": "JPEG files",
    "jxl-file": "JPEG XL files",
    "avif-file": "AVIF files",
    "kinpack-classic": "kinpack, classic payloads",
}

#: How the page calls the collections.
COLLECTIONS = {
    "cifar10-toy": "photographs of 32 pixels (CIFAR-10)",
    "thumbs64": "photographs of 64 pixels",
    "fashion-mnist": "grey clothes of 28 pixels (Fashion-MNIST), a codec of their own",
    "emoji": "emoji with alpha, a codec of their own",
}

#: How pages call codecs that are compared at each size, and the kinds of pictures there.
CODECS = {
    "kinpack-auto-payload": "**kinpack**",
    "kinpack-never-payload": "kinpack, learned payloads alone",
    "avif-payload-s6": "AVIF speed 6, header stripped",
    "avif-file": "AVIF files",
    "webp-file": "WebP files",
    "jxl-file": "JPEG XL files",
    "jpeg-file": "JPEG files",
}
KINDS = {
    "photographs": "photographs",
    "pages": "rendered pages",
    "greys": "rendered grey surfaces",
    "emoji": "emoji on white",
}
OURS = ("kinpack-auto-payload", "kinpack-never-payload")


def percent(value: float | None) -> str:
    """A BD-rate, or a dash where the curves do not cover the range."""
    return "–" if value is None else f"{value:+.1f}".replace("-", "−")


def rates(found: Results) -> str:
    """Whole archives against files in a folder, a row for each collection."""
    return _by_collection(found, "disk", ("kinpack-classic", "avif-file", "webp-file", "jpeg-file"))


def sizes(found: Results) -> str:
    """Ours against AVIF's payloads by each measure, at every size."""
    return by_size(found, OURS)


def all_sizes(found: Results) -> str:
    """All codecs against AVIF's payloads by each measure, at every size."""
    return by_size(found, tuple(CODECS))


def by_size(found: Results, codecs: tuple[str, ...], side: int | None = None) -> str:
    """BD-rates against AVIF's payloads, a row for each kind, size and codec.

    Args:
        found: results of `benchmarks.rates.sizes`.
        codecs: those that are shown.
        side: the only size that is shown; all of them where None.
    """
    lines = [
        "| bytes at equal quality, against AVIF speed 4, header stripped, % | pixels | images | "
        + " | ".join(NAMES.values())
        + " |",
        "|---|--:|--:|" + "--:|" * len(NAMES),
    ]
    for row in found["rows"]:
        if row["codec"] in codecs and side in (None, row["side"]):
            head = f"{CODECS[row['codec']]}, {KINDS[row['data']]}"
            cells = [head, str(row["side"]), str(row["images"]), *measures(row["bd_rate"])]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def measures(found: Results) -> list[str]:
    """The BD-rate by each measure, as pages write it."""
    return [percent(found[name]["percent"] if name in found else None) for name in NAMES]


def _by_collection(found: Results, table: str, anchors: tuple[str, ...]) -> str:
    by_data: dict[str, dict[str, str]] = {}
    for row in found["rows"]:
        if row["table"] == table and row["classic"] == "auto":
            by_data.setdefault(row["data"], {})[row["anchor"]] = _bd_rate(row)[1]
    heads = ["bytes at equal PSNR, %", *(f"against {ANCHORS[anchor]}" for anchor in anchors)]
    lines = [f"| {' | '.join(heads)} |", "|---|" + "--:|" * len(anchors)]
    for data, values in by_data.items():
        cells = [COLLECTIONS[data], *(values.get(anchor, "–") for anchor in anchors)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def all_rates(found: Results) -> str:
    """Every BD-rate: by PSNR over a range, by the other measures over what both curves cover."""
    lines = [
        f"| data | table | classic | against | dB | {' | '.join(NAMES.values())} |",
        "|---|---|---|---|---|" + "--:|" * len(NAMES),
    ]
    for row in found["rows"]:
        (low, high), value = _bd_rate(row)
        lines.append(
            f"| {row['data']} | {row['table']} | {row['classic']} | {ANCHORS[row['anchor']]} "
            f"| {low:g}–{high:g} | {' | '.join([value, *measures(row.get('seen', {}))[1:]])} |"
        )
    return "\n".join(lines)


def _bd_rate(row: Results) -> tuple[tuple[float, float], str]:
    """The range in dB and the BD-rate, of what is covered where that is not all."""
    low, high = row["range_db"]
    value = row["bd_rate_percent"]
    if value is None and row.get("covered"):
        low, high = row["covered"]["range_db"]
        value = row["covered"]["bd_rate_percent"]
    return (low, high), percent(value)


def ladder(found: Results) -> str:
    """Rungs of the context model."""
    lines = [
        "| context of each latent | against | BD-rate, % | each seed | the code's 64 bits paid |",
        "|---|---|--:|--:|--:|",
    ]
    for row in found["rows"]:
        of_seeds = row.get("bd_rate_percent_of_seeds", [])
        paid = percent(row["bd_rate_percent_paid"]) if "bd_rate_percent_paid" in row else ""
        lines.append(
            f"| {row['rung']} | {row['against'] or '–'} "
            f"| {percent(row['bd_rate_percent']) if row['against'] else '–'} "
            f"| {', '.join(percent(value) for value in sorted(of_seeds))} | {paid} |"
        )
    lines += [
        "",
        "| part of that codec | BD-rate against the codec without it, % |",
        "|---|--:|",
    ]
    lines += [
        f"| {row['part']} | {percent(row['bd_rate_percent'])} |"
        for row in found["parts"]
        if row["part"]
    ]
    gained = [row["refitted_tables_percent"] for row in found["rows"]]
    gained = [value for value in gained if value is not None] or [0.0]
    lines += [
        "",
        f"Each rung learned {found['steps']:,} steps of {found['batch']} pictures with each of "
        f"{len(found['seeds'])} seeds; the median counts. Tables refitted on symbols, in place of "
        f"Gaussian ones: {percent(max(gained))} to {percent(min(gained))} %.",
    ]
    return "\n".join(lines)


def variable(found: Results) -> str:
    """One codec against three."""
    lines = [
        "| quality | PSNR, dB | bytes, trained for it alone | bytes, one for all | more, % |",
        "|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['quality']} | {row['psnr']:.2f} | {row['bytes_single']:.1f} "
        f"| {row['bytes_common']:.1f} | {percent(row['common_against_single_percent'])} |"
        for row in found["rows"]
    ]
    return "\n".join(lines)


def exactness(found: Results) -> str:
    """Packets of each codec, then differing pixels by engine and processor."""
    lines = []
    for codec in found["codecs"]:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in codec["packets"].items())
        lines.append(
            f"Packets of the codec {codec['name']}: {kinds}; {codec['with_alpha']:,} of them with "
            "an alpha plane."
        )
    lines += [
        "",
        "| engine | processor | ways | pixels compared | differing |",
        "|---|---|--:|--:|--:|",
    ]
    keys = dict.fromkeys((row["engine"], row["processor"]) for row in found["rows"])
    for engine, processor in keys:
        own = [r for r in found["rows"] if (r["engine"], r["processor"]) == (engine, processor)]
        differing, pixels = (sum(r.get(k, 0) for r in own) for k in ("differing_pixels", "pixels"))
        lines.append(f"| {engine} | {processor} | {len(own)} | {pixels:,} | {differing:,} |")
    return "\n".join(lines)


def exactness_cost(found: Results) -> str:
    """One line."""
    low, high = found["range_db"]
    return (
        f"Integers in place of floating point cost {found['bd_rate_percent']:.2f} % of bytes at "
        f"equal PSNR ({low:g}–{high:g} dB, the toy database)."
    )


def speed(found: Results) -> str:
    """Milliseconds of the processor an image."""
    lines = [
        "| images | pixels | codec | classic | threads | dB | encode, ms | × AVIF's "
        "| decode, ms | × AVIF's |",
        "|---|--:|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in found["rows"]:
        cells = [
            form.format(row[f"{verb}_{key}"])
            for verb in ("encode", "decode")
            for key, form in (("ms", "{:,.2f}"), ("ms_over_avif", "{:.2f}"))
        ]
        lines.append(
            f"| {row['data']} | {row['side']} | {row['codec']} | {row['classic'] or ''} "
            f"| {row['threads']} | {row['psnr_mean']:.2f} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)


def memory(found: Results) -> str:
    """Peak memory."""
    lines = [
        "| task | classic | peak, MiB | more than before, MiB | without the image drawn, MiB |",
        "|---|---|--:|--:|--:|",
    ]
    for row in found["memory"]:
        packing = row["what"] == "packing"
        task = f"packing {row['images']:,} images" if packing else f"one image of {row['side']}²"
        more = row["peak_mib"] - row["before_mib"]
        rest = "" if packing else f"{more - row['image_mib']:,.0f}"
        lines.append(
            f"| {task} | {row['classic']} | {row['peak_mib']:,.0f} | {more:,.0f} | {rest} |"
        )
    return "\n".join(lines)


def own(found: Results) -> str:
    """What codecs of one's own gain; measures other than PSNR are taken against AVIF alone."""
    lines = [
        f"| collection | start | images | minutes | against | {' | '.join(NAMES.values())} "
        "| pays from, images |",
        "|---|---|--:|--:|---|" + "--:|" * len(NAMES) + "--:|",
    ]
    for row in found["rows"]:
        for gain in row["gains"]:
            pays = "never" if gain["pays_from"] is None else f"{gain['pays_from']:,}"
            of_avif = gain["against"] == "AVIF without its header"
            seen = row.get("seen", {}).get(OURS[1], {}) if of_avif else {}
            cells = [percent(gain["bd_rate_percent"]), *measures(seen)[1:]]
            lines.append(
                f"| {row['data']} | {row['start']} | {row['images']:,} | {row['minutes']:.1f} "
                f"| {gain['against']} | {' | '.join(cells)} | {pays} |"
            )
    return "\n".join(lines)


def flats(found: Results) -> str:
    """Flat colours and gradients."""
    lines = [
        f"| {found['side']}², the lowest quality of {found['wanted_db']:g} dB or more | pictures "
        "| learned payload, bytes | the largest | AVIF speed 4, header stripped, bytes |",
        "|---|--:|--:|--:|--:|",
    ]
    for row in found["summary"]:
        values = [row[key] for key in ("learned", "most", "avif")]
        cells = ["–" if value is None else f"{value:,.0f}" for value in values]
        lines.append(f"| {row['kind']} | {row['reached']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def alphas(found: Results) -> str:
    """What alpha planes take, and the BD-rates with them counted in three ways."""
    mean = found["bytes_an_image"]
    lines = [
        f"{found['images']} held-out emoji: {mean['causal']} bytes an alpha plane pixel by pixel, "
        f"{mean['classic']} by the shortest classic way, {mean['avif']} as an exact AVIF; longer "
        f"than the classic way in {found['causal_longer_than_classic']} planes.",
        "",
        "| classic | AVIF's colours beside alpha planes coded by | BD-rate, % |",
        "|---|---|--:|",
    ]
    for row in found["rows"]:
        value = percent(row["bd_rate_percent"])
        lines.append(f"| {row['classic']} | {row['alpha_of_avif']} | {value} |")
    return "\n".join(lines)


TABLES: dict[str, tuple[str, Callable[[Results], str]]] = {
    "rates": ("bd_rate.json", rates),
    "all-rates": ("bd_rate.json", all_rates),
    "sizes": ("sizes.json", sizes),
    "all-sizes": ("sizes.json", all_sizes),
    "ladder": ("ladder.json", ladder),
    "variable": ("variable_rate.json", variable),
    "exactness": ("exactness.json", exactness),
    "exactness-cost": ("exactness_cost.json", exactness_cost),
    "speed": ("speed.json", speed),
    "memory": ("speed.json", memory),
    "own": ("own_collections.json", own),
    "flats": ("flat_pictures.json", flats),
    "alpha": ("alpha_planes.json", alphas),
}


def measured(name: str) -> str:
    """The table of a name, or that it has not been measured."""
    file, make = TABLES[name]
    path = RESULTS / file
    return make(json.loads(path.read_text())) if path.exists() else UNMEASURED


def main() -> None:
    """Fill the pages, or with --check say whether they are filled."""
    for page in PAGES:
        fill_page(page, measured)


if __name__ == "__main__":
    main()
