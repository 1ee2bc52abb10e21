"""Write the tables of docs/reliability.md from the result files: no number is typed by hand.

    python -m reliability.numbers [--check]

A table stands between `<!-- numbers: NAME -->` and `<!-- end of numbers -->`; NAME is one of
`TABLES`. Where a result file is missing the table says that it has not been measured. With
--check nothing is written, and the exit code is 1 where the page would change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.measuring.filled_page import UNMEASURED, fill_page
from reliability import ROOT
from reliability.report import RESULTS

PAGE = ROOT / "docs" / "reliability.md"


def _table(head: str, rows: Iterable[Iterable[object]]) -> list[str]:
    """A table of numbers; the first column is text."""
    columns = head.count("|")
    lines = [f"| {head} |", "|---" + "|--:" * columns + "|"]
    for row in rows:
        cells = [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _foot(result: dict[str, Any]) -> list[str]:
    """What failed, and the command that repeats it."""
    return [
        "",
        f"Failures: **{result['failures']:,}**. `{result['command']}` (seed {result['seed']}), "
        f"{result['created'][:10]}, {result['processor']}, Python {result['python']}.",
    ]


def kills(result: dict[str, Any]) -> list[str]:
    """Kills of every sort of commit."""
    head = "commit | kills at random | around calls | then the former revision | then the new one"
    rows = []
    for act, counts in result["acts"].items():
        by_revision = [
            sum(of_sort.get(revision, 0) for of_sort in counts.values())
            for revision in ("former", "new")
        ]
        by_sort = [of_sort.get("former", 0) + of_sort.get("new", 0) for of_sort in counts.values()]
        rows.append([f"`{act}`", *by_sort, *by_revision])
    sums = [sum(row[column] for row in rows) for column in range(1, 5)]
    return _table(head, [*rows, ["**all**", *sums]])


def faults(result: dict[str, Any]) -> list[str]:
    """Refused calls of every sort of commit."""
    names = (
        "calls",
        "faults",
        "refused, former revision",
        "refused, new revision",
        "done all the same",
    )
    head = (
        "commit | calls to the system | faults | refused, former revision "
        "| refused, new revision whole "
        "| done all the same | done again by the same archive"
    )
    rows: list[list[Any]] = [
        [f"`{act}`", *(counts.get(name, 0) for name in (*names, "done again"))]
        for act, counts in result["acts"].items()
    ]
    sums = [sum(row[column] for row in rows) for column in range(1, 7)]
    return _table(head, [*rows, ["**all**", *sums]])


def power_cuts(result: dict[str, Any]) -> list[str]:
    """Power cuts in histories of commits."""
    commits = ", ".join(f"{count} × `{verb}`" for verb, count in result["commits"].items())
    rows = [
        ["histories", result["histories"]],
        [f"commits ({commits})", sum(result["commits"].values())],
        [
            "of these not acknowledged: killed, refused, or done already",
            result["commits without acknowledgement"],
        ],
        [
            "of these met by a broken fsync, most of them then done again",
            result["commits with a broken fsync"],
        ],
        ["changing calls to the system", result["changing calls"]],
        ["power cuts", result["cuts"]],
        ["different disks that these left, each opened and verified", result["different disks"]],
    ]
    return _table("counted | number", rows)


def census(result: dict[str, Any]) -> list[str]:
    """Calls that change files, as the kernel sees them."""
    kinds = ("open", "write", "fsync", "link", "rename", "mkdir", "unlink", "rmdir")
    rows = [
        [f"`{act}`", *(counts.get(kind, 0) for kind in kinds)]
        for act, counts in result["acts"].items()
    ]
    return _table("commit | " + " | ".join(kinds), rows)


def soak(result: dict[str, Any]) -> list[str]:
    """What the processes of the soak did."""
    names = {
        "commits": "acknowledged commits of the writers",
        "races_lost_and_made_up_for": "races lost, and made up for",
        "commits_undone_by_a_kill": "commits cut short by a kill, not there afterwards",
        "commits_of_killed_writers_found_whole": "commits cut short by a kill, there whole",
        "revisions_read": "revisions opened by readers, and held against all journals",
        "images_read": "images read in them, every pixel compared",
        "revisions_held_longer_than_promised": "revisions held for longer than promised",
        "compactions": "compactions",
        "images_compacted": "images that they copied",
        "collections": "collections (`gc`)",
        "files_collected": "files that they removed",
        "collections_refused": "collections refused, since somebody was writing",
        "verifications": "verifications of the whole archive while all went on",
        "images_at_the_end": "images in it at the end",
        "store_not_there": "refused, since the store was not there",
        "taken_for_dead": "refused, since others took it for dead: nothing was added, or it was "
        "taken away again",
        "seen_halfway": "openings and verifications in which a file was missing, of a commit that "
        "was taken away next",
    }
    rows: list[list[Any]] = [["minutes", f"{result['minutes']:g}"]]
    rows += [["processes", result["processes"]]]
    rows += [[f"kills of a {role}", count] for role, count in sorted(result["kills"].items())]
    rows += [
        [f"times that a {role} stood still", n]
        for role, n in sorted(result.get("stops", {}).items())
    ]
    if "outages" in result:
        text = "of these longer than its lease counts, writers, compactor and collector"
        rows += [[text, result["stops_longer_than_a_lease"]]]
        rows += [["kills of the object store", result["outages"]]]
    rows += [["steps of a clock", result.get("clock_steps", 0)]]
    rows += [[text, result[name]] for name, text in names.items() if name in result]
    return _table("counted | number", rows)


def damage(result: dict[str, Any]) -> list[str]:
    """Damage to files, and whether it was found."""
    head = "archive | bytes | damage | times | found by `verify` | harmless: all images whole"
    rows: list[list[Any]] = []
    kinds = {"bytes_changed": "every byte", "lengths_cut_to": "cut off at every length"}
    for name, title in (("folder", "2 images"), ("sealed", "the same, sealed")):
        for kind, text in kinds.items():
            counts = result[name][kind]
            sums = [sum(counts.values()), counts.get("found", 0), counts.get("harmless", 0)]
            rows.append([title, result[name]["bytes"], text, *sums])
    large = result["large"]
    counts = large["bytes_changed"]
    sums = [sum(counts.values()), counts.get("found", 0), counts.get("harmless", 0)]
    title = f"{large['images']:,} images in {large['files']} files"
    rows.append([title, large["bytes"], "bytes at random", *sums])
    lines = _table(head, rows)
    lines[1] = "|---|--:|---|--:|--:|--:|"
    return lines


def object_faults(result: dict[str, Any]) -> list[str]:
    """What an object store did to requests."""
    names = {
        "faults at one request of an add": "each of 10 faults at each request of an `add`, which "
        "succeeds nonetheless",
        "faults from a request on": "each fault from any request on, for good: the writer says "
        "so, or has succeeded",
        "faults at one request of a read": "each fault at each request of opening and reading",
        "kills around a request": "a writer killed (−9) before and after each request of a "
        "creation and of an `add`",
        "torn uploads": "uploads of 1 B, 1 kB and 3 MB torn, again and again and once",
        "seconds of the long run": "two writers, a compactor and a reader, any faults at all: "
        "seconds",
        "requests in the long run": "its requests",
        "faults in the long run": "of these met by a fault",
        "acknowledged in the long run": "its acknowledged commits",
        "refused in the long run": "its commits that were refused",
        "reads in the long run": "images read in it",
    }
    return _table("tried | number", [[text, result[name]] for name, text in names.items()])


def fuzz(result: dict[str, Any]) -> list[str]:
    """Cases that fuzzing made of each sort of file."""
    rows: list[list[Any]] = [
        [name, counts["cases"], counts["refused"], counts["read"]]
        for name, counts in result["sorts"].items()
    ]
    sums = [sum(row[column] for row in rows) for column in range(1, 4)]
    rows.append([f"**all, in {result['minutes']:g} minutes**", *sums])
    return _table("changed | cases | refused | read", rows)


def memory(result: dict[str, Any]) -> list[str]:
    """Memory that was refused to every sort of commit, and to reading."""
    names = ("done", "MemoryError", "refused", "lost", "died", "hung")
    head = (
        "act | done all the same | MemoryError | refused | reason lost by a library "
        "| ended by a library | Python waits for a thread"
    )
    rows: list[list[Any]] = [
        [f"`{act}`", *(sum(counts.get(name, 0) for counts in ways.values()) for name in names)]
        for act, ways in result["acts"].items()
    ]
    sums = [sum(row[column] for row in rows) for column in range(1, len(names) + 1)]
    return _table(head, [*rows, ["**all**", *sums]])


def guided(result: dict[str, Any]) -> list[str]:
    """Inputs that fuzzing guided by coverage has read."""
    rows: list[list[Any]] = [
        [name, f"{counts['minutes']:.1f}", counts["inputs"], counts["covered"]]
        for name, counts in result["targets"].items()
    ]
    rows.append(["**all**", f"{result['minutes']:.1f}", result["inputs"], ""])
    return _table("read | minutes of processor time | inputs | points reached", rows)


def branches(result: dict[str, Any]) -> list[str]:
    """Branches of the archive's code that its tests reach, by room."""
    rooms: dict[str, list[int]] = {}
    for module, counts in result["modules"].items():
        room = f"`archive/{module.rpartition('/')[0]}`".replace("/`", "`")
        for place, count in enumerate((counts["branches"], counts["reached"])):
            rooms.setdefault(room, [0, 0])[place] += count
    rows = [[room, *counts, _share(counts)] for room, counts in sorted(rooms.items())]
    sums = [result["branches"], result["branches_reached"]]
    return _table("room | branches | reached | share", [*rows, ["**all**", *sums, _share(sums)]])


def _share(counts: list[int]) -> str:
    return f"{100 * counts[1] / counts[0]:.1f} %"


#: name -> what makes the table of its result file
TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "kills": kills,
    "kills-sync": kills,
    "faults": faults,
    "power-cuts": power_cuts,
    "census": census,
    "soak": soak,
    "soak-bucket": soak,
    "damage": damage,
    "object-faults": object_faults,
    "memory": memory,
    "fuzz": fuzz,
    "fuzz-hour": fuzz,
    "guided": guided,
    "branches": branches,
}


def measured(name: str) -> str:
    """The table of a name, with its command below, or that it has not been measured."""
    path = RESULTS / f"{name.replace('-', '_')}.json"
    if not path.exists():
        return UNMEASURED
    result: dict[str, Any] = json.loads(path.read_text())
    return "\n".join(TABLES[name](result) + _foot(result))


def main() -> None:
    """Fill the page, or with --check say whether it is filled."""
    fill_page(PAGE, measured)


if __name__ == "__main__":
    main()
