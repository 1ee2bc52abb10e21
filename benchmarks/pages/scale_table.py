"""Write the tables of docs/scale.md from the results of `benchmarks/scale/archive_scale.py`.

    python -m benchmarks.pages.scale_table [--check]

With --check nothing is written, and the exit code is 1 where the page would change.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring.filled_page import UNMEASURED, fill_page
from benchmarks.measuring.places import RESULTS, ROOT

PAGE = ROOT / "docs" / "scale.md"
ARCHIVE = RESULTS / "archive.json"
ASKING = RESULTS / "asking.json"


def sizes_table(part: dict[str, Any]) -> list[str]:
    """The stores beside each other: their size, and what writing them takes."""
    lines = [
        "| | images | bytes an image | without the payload | set aside on the disk "
        "| write, images/s | a second of processor | first append, ms | append, ms | processor |",
        "|---|" + "--:|" * 9,
    ]
    for row in part["rows"].values():
        if "missing" in row:
            lines.append(f"| {row['title']} | {row['missing']} |" + " – |" * 8)
            continue
        size, write, append = row["size"], row["write"], row["append"]
        values = [
            f"{row['images']:,}",
            f"{size['bytes_per_image']:.1f}",
            f"{size['over_payload']:.1f}",
            f"{size['allocated'] / row['images']:,.0f}",
            f"{write['images_per_second']:,}",
            f"{write['images_per_processor_second']:,}",
            _number(append["first_ms"]),
            _number(append["p50_ms"]),
            _number(append["processor_ms"]),
        ]
        lines.append(f"| {row['title']} | " + " | ".join(values) + " |")
    return lines


def reads_table(part: dict[str, Any]) -> list[str]:
    """The stores beside each other: opening, reading and scanning, in milliseconds."""
    lines = [
        "| ms | open | first read | its processor time | read, p50 | p99 | processor "
        "| first scan | its processor time | scan again | processor |",
        "|---|" + "--:|" * 10,
    ]
    for row in part["rows"].values():
        if "missing" in row:
            lines.append(f"| {row['title']} |" + " – |" * 10)
            continue
        read, scan = row["read"], row["scan"]
        values = [
            _number(row["open"]["first_ms"]),
            _number(read["first_ms"]),
            _number(read["first_processor_ms"]),
            f"{read['p50_ms']:.4f}",
            f"{read['p99_ms']:.4f}",
            f"{read['processor_ms']:.4f}",
            _number(scan["first_ms"]),
            _number(scan["first_processor_ms"]),
            _number(scan["p50_ms"]),
            _number(scan["processor_ms"]),
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


def short_table(part: dict[str, Any]) -> list[str]:
    """What most readers ask, beside SQLite."""
    rows = [part["rows"][name] for name in ("kinpack", "sqlite")]
    asked = [
        ("bytes an image", "{:.1f}", "size", "bytes_per_image"),
        ("open, ms", "{:.2f}", "open", "first_ms"),
        ("read one image, ms: median", "{:.4f}", "read", "p50_ms"),
        ("of 100 reads the slowest", "{:.4f}", "read", "p99_ms"),
        ("search the first time, ms", "{:,.0f}", "scan", "first_ms"),
        ("search again, ms", "{:,.1f}", "scan", "p50_ms"),
        ("append 1,000 images, ms", "{:,.1f}", "append", "p50_ms"),
    ]
    return [
        "| | " + " | ".join(row["title"] for row in rows) + " |",
        "|---|" + "--:|" * len(rows),
        *(
            f"| {name} | " + " | ".join(form.format(row[of][key]) for row in rows) + " |"
            for name, form, of, key in asked
        ),
    ]


def asking_table(result: dict[str, Any]) -> list[str]:
    """What a search takes, before the scans were made anew and now."""

    def ratio(run: dict[str, Any], scan: str, asked: str, of: str) -> str:
        return f"{run[scan][asked][of]['ratio']:.2f}"

    small, large = "scan:1000000", "scan:10000000"
    faiss, numpy = "kinpack, faiss", "kinpack, numpy"
    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = []
    for scan, codes in ((small, "1,048,576"), (large, "10,027,008")):
        rows += [
            (
                f"10 nearest of {codes} codes, exact, beside fast scan",
                lambda run, scan=scan: ratio(run, scan, "k=10", faiss),
            ),
            (
                f"likewise 100 queries at once, {codes}",
                lambda run, scan=scan: ratio(run, scan, "batch of 100", faiss),
            ),
            (
                f"where 1 % pass a filter, beside no filter, {codes}",
                lambda run, scan=scan: ratio(run, scan, "1 % passes", "filtered"),
            ),
        ]

    def milliseconds(run: dict[str, Any]) -> str:
        found = run[small]["k=10"][numpy]
        return f"{found['ms']:.1f} ms, {found['ratio']:.1f}"

    def threads(run: dict[str, Any]) -> str:
        found = run["threads:1000000"]
        return " / ".join(f"{found[one]['of_two_processes']:.2f}" for one in ("faiss", "numpy"))

    def memory(engine: str) -> Callable[[dict[str, Any]], str]:
        def of_engine(run: dict[str, Any]) -> str:
            found = run[f"memory-{engine}:20000000"]
            return f"{found['own']:.2f} + {found['of_files']:.2f}, {found['at_most']:.2f}"

        return of_engine

    rows += [
        ("without faiss, 1,048,576 codes; beside fast scan", milliseconds),
        (
            "1,000 hits with ids and labels of 1,048,576 images, faiss, ms",
            lambda run: f"{run['archive:1000000']['ms']['k=1000, faiss']:.1f}",
        ),
        ("two threads beside two processes, faiss / numpy", threads),
        ("memory beside the codes, 20,054,016, faiss: own + mapped, at most", memory("faiss")),
        ("the same with numpy", memory("numpy")),
        (
            "the command `search` by a photograph, 1,048,576 images, s",
            lambda run: f"{run['command']['search']['s']:.2f}",
        ),
        (
            "with `--compare 0`, s",
            lambda run: f"{run['command']['search, nothing compared']['s']:.2f}",
        ),
    ]
    lines = ["| processor time | before | now |", "|---|--:|--:|"]
    for what, tell in rows:
        lines.append(f"| {what} | {tell(result['before'])} | {tell(result['now'])} |")
    return lines


def _asked(result: dict[str, Any]) -> str:
    run = result["now"]["machine"]
    loads = " and ".join(f"{result[one]['threads:1000000']['load']:g}" for one in ("before", "now"))
    foot = (
        f"`{run['command']}` (seed {run['seed']}), {run['created'][:10]}, {run['processor']}, "
        f"{run['cores']} cores with a load of {loads}, Python {run['python']}."
    )
    return "\n".join([*asking_table(result), "", foot])


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
    "short": ("stores", short_table),
    "sizes": ("stores", sizes_table),
    "reads": ("stores", reads_table),
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


def measured(name: str, path: Path = ARCHIVE) -> str:
    """The table of a name from a result file."""
    if name == "asking":
        return _asked(json.loads(ASKING.read_text())) if ASKING.exists() else UNMEASURED
    return table(name, json.loads(path.read_text()) if path.exists() else {})


def print_result(result: dict[str, Any]) -> None:
    """Print the tables of what was measured."""
    for name, (part, _) in TABLES.items():
        if part in result and (name != "short" or {"kinpack", "sqlite"} <= {*result[part]["rows"]}):
            print(f"\n{table(name, result)}")


def main() -> None:
    """Fill the page, or with --check say whether it is filled."""
    fill_page(PAGE, measured)


if __name__ == "__main__":
    main()
