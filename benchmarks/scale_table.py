"""Write the tables of docs/scale.md from the results of `benchmarks/archive_scale.py`.

    python benchmarks/scale_table.py [--check]

With --check nothing is written, and the exit code is 1 where the page would change.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from readme_numbers import ROOT, UNMEASURED, filled

PAGE = ROOT / "docs" / "scale.md"
RESULTS = ROOT / "benchmarks" / "results" / "archive.json"

TIMES_OF_SQLITE = 2.0
"""Reading one image may take this many times as long as SQLite takes."""

OPEN_MS, READ_MS = 100.0, 1.0
"""What opening an archive of a million images, and reading one, may take."""


def stores_table(part: dict[str, Any]) -> list[str]:
    """The stores beside each other: size and times."""
    lines = [
        "| | images | bytes an image | of them not payload | on the disk | write, images/s | "
        "append, ms | open, ms | first read | read p50, ms | p99 | first scan, ms | scan again |",
        "|---|" + "--:|" * 12,
    ]
    for row in part["rows"].values():
        if "missing" in row:
            lines.append(f"| {row['title']} | {row['missing']} |" + " – |" * 11)
            continue
        read, scan, size = row["read"], row["scan"], row["size"]
        values = [
            f"{row['images']:,}",
            f"{size['bytes_per_image']:.1f}",
            f"{size['over_payload']:.1f}",
            f"{size['allocated'] / row['images']:.0f}",
            f"{row['write']['images_per_second']:,}",
            _number(row["append"]["p50_ms"]),
            _number(row["open"]["first_ms"]),
            _number(read["first_ms"]),
            f"{read['p50_ms']:.3f}",
            f"{read['p99_ms']:.3f}",
            _number(scan["first_ms"]),
            _number(scan["p50_ms"]),
        ]
        lines.append(f"| {row['title']} | " + " | ".join(values) + " |")
    return lines


def decoding_table(part: dict[str, Any]) -> list[str]:
    """What decoding one packet takes."""
    took, packets = part["decoding"], part["packets"]
    return [
        "| decoded one by one | payload, bytes | p50, ms | p99, ms |",
        "|---|--:|--:|--:|",
        f"| {packets['count']:,} packets of {packets['pictures']}, quality {packets['quality']} "
        f"| {packets['payload_bytes_mean']:.1f} | {took['p50_ms']:.3f} | {took['p99_ms']:.3f} |",
    ]


def memory_table(part: dict[str, Any]) -> list[str]:
    """Peak memory of the process that writes each store."""
    rows = [row for row in part["rows"].values() if "write" in row]
    marks = sorted({int(key) for row in rows for key in row["write"]["peak_mib"] if key.isdigit()})
    lines = [
        "| peak of memory, MiB | at the start | "
        + " | ".join(f"at {mark:,}" for mark in marks)
        + " | at the end |",
        "|---|" + "--:|" * (len(marks) + 2),
    ]
    for row in rows:
        peaks = row["write"]["peak_mib"]
        keys = ["before", *map(str, marks), "end"]
        cells = (f"{peaks[key]:,.0f}" if key in peaks else "" for key in keys)
        lines.append(f"| {row['title']} | " + " | ".join(cells) + " |")
    return lines


def kills_table(part: dict[str, Any]) -> list[str]:
    """What was left of each store after its writer was killed."""
    lines = [
        "| | kills | opens afterwards | acknowledged images | of them lost | "
        "kills that lost some | half-written images | batches in part |",
        "|---|" + "--:|" * 7,
    ]
    keys = ("kills", "opens", "acknowledged", "lost", "kills_with_loss", "torn", "part_batches")
    for row in part["rows"].values():
        cells = [f"{row[key]:,}" for key in keys] if "kills" in row else ["–"] * len(keys)
        lines.append(f"| {row['title']} | " + " | ".join(cells) + " |")
    return lines


def commits_table(part: dict[str, Any]) -> list[str]:
    """What many commits of one image cost, and what compacting them gives."""
    after = part["compacted"]
    wall, processor = part["wall_ms"], part["processor_ms"]
    return [
        f"| {part['commits']:,} commits of one image | |",
        "|---|--:|",
        f"| a commit, median of the first 100, ms | {wall['first']:.1f} |",
        f"| of the last 100 | {wall['last']:.1f} |",
        f"| processor time of a commit, first 100, ms | {processor['first']:.1f} |",
        f"| last 100 | {processor['last']:.1f} |",
        f"| all commits, s | {part['seconds']:,.0f} |",
        f"| open, then list all ids, ms | {part['open_ms']:.1f} + {part['list_ms']:,.0f} |",
        f"| segments: files, bytes | {part['segments_files']:,}, {part['segments_bytes']:,} |",
        f"| manifests: files, bytes | {part['manifests_files']:,}, {part['manifests_bytes']:,} |",
        f"| compact, then collect, s | {after['compact_seconds']:.1f} + "
        f"{after['gc_seconds']:.1f} |",
        f"| after that: open, then list, ms | {after['open_ms']:.1f} + {after['list_ms']:.1f} |",
        f"| segments: files, bytes | {after['segments_files']:,}, {after['segments_bytes']:,} |",
        f"| manifests: files, bytes | {after['manifests_files']:,}, {after['manifests_bytes']:,} |",
    ]


def goals_table(part: dict[str, Any]) -> list[str]:
    """What was to be reached, and what was."""
    ours, theirs = part["rows"]["kinpack"], part["rows"]["sqlite"]
    limit = TIMES_OF_SQLITE
    goals = [
        (
            "bytes an image, fewer than SQLite's",
            ours["size"]["bytes_per_image"],
            theirs["size"]["bytes_per_image"],
            "{:.1f}",
        ),
        ("first scan, ms, faster", ours["scan"]["first_ms"], theirs["scan"]["first_ms"], "{:.0f}"),
        ("scan again, ms, faster", ours["scan"]["p50_ms"], theirs["scan"]["p50_ms"], "{:.1f}"),
        (
            f"read p50, ms, at most {limit:g} × SQLite's",
            ours["read"]["p50_ms"],
            limit * theirs["read"]["p50_ms"],
            "{:.4f}",
        ),
        (
            f"read p99, ms, at most {limit:g} × SQLite's",
            ours["read"]["p99_ms"],
            limit * theirs["read"]["p99_ms"],
            "{:.4f}",
        ),
        ("open, ms", ours["open"]["first_ms"], OPEN_MS, "{:.2f}"),
        ("read p50, ms", ours["read"]["p50_ms"], READ_MS, "{:.4f}"),
        ("read p99, ms", ours["read"]["p99_ms"], READ_MS, "{:.4f}"),
    ]
    lines = ["| goal | measured | limit | |", "|---|--:|--:|---|"]
    for name, value, bound, form in goals:
        verdict = "met" if value < bound else "missed"
        lines.append(f"| {name} | {form.format(value)} | {form.format(bound)} | {verdict} |")
    return lines


def _number(value: float) -> str:
    """A number of milliseconds in about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _foot(part: dict[str, Any]) -> str:
    rows = part.get("rows", {})
    shown = ", ".join(
        [
            f"Python {part['python']}",
            f"pyarrow {part['packages']['pyarrow']}",
            *(
                f"{rows[name]['title']} {rows[name]['version']}"
                for name in ("sqlite", "lance")
                if "version" in rows.get(name, {})
            ),
        ]
    )
    load = part["load"]
    return (
        f"`{part['command']}` (seed {part['seed']}), {part['created'][:10]}, {part['processor']}, "
        f"{part['cores']} cores" + (f" with a load of {load[1]:g}" if load else "") + f", {shown}."
    )


#: name -> (part of the results, what makes the table of it)
TABLES = {
    "goals": ("stores", goals_table),
    "stores": ("stores", stores_table),
    "decoding": ("stores", decoding_table),
    "memory": ("stores", memory_table),
    "store-kills": ("kills", kills_table),
    "commits": ("commits", commits_table),
}


def table(name: str, result: dict[str, Any]) -> str:
    """The table of a name, with its command below, or that it has not been measured."""
    part, make = TABLES[name]
    if part not in result:
        return UNMEASURED
    return "\n".join([*make(result[part]), "", _foot(result[part])])


def measured(name: str, path: Path = RESULTS) -> str:
    """The table of a name from a result file."""
    return table(name, json.loads(path.read_text()) if path.exists() else {})


def print_result(result: dict[str, Any]) -> None:
    """Print the tables of what was measured."""
    for name, (part, _) in TABLES.items():
        if part in result and (name != "goals" or {"kinpack", "sqlite"} <= {*result[part]["rows"]}):
            print(f"\n{table(name, result)}")


def main() -> None:
    """Fill the page, or with --check say whether it is filled."""
    text = PAGE.read_text()
    new = filled(text, measured)
    if "--check" in sys.argv[1:]:
        if new != text:
            sys.exit(f"{PAGE.name} differs from the results: run python benchmarks/scale_table.py")
        return
    PAGE.write_text(new)


if __name__ == "__main__":
    main()
