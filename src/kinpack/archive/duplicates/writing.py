"""Files of duplicates: tables of groups, and lists of ids that other commands read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path

from kinpack.archive.duplicates.report import DuplicateReport
from kinpack.errors import ArchiveError, KinpackError, shown

TABLES = (".csv", ".json")
"""Endings of the files that groups are written to."""


def groups_file(report: DuplicateReport, suffix: str) -> bytes:
    """The content of a file of groups: a row for each image as CSV, or the report as JSON.

    Args:
        report: of the archive.
        suffix: one of `TABLES`.
    """
    if suffix == ".json":
        text = json.dumps(report.to_dict(), indent=2) + "\n"
    else:
        file = io.StringIO(newline="")
        names = ("group", "band", "id", "kept", "similarity", "changes")
        table = csv.DictWriter(file, names, lineterminator="\n")
        table.writeheader()
        for row in report.rows():
            table.writerow({**row, "kept": "yes" if row["kept"] else "no"})
        text = file.getvalue()
    return text.encode("utf-8", "backslashreplace")


def list_of_ids(ids: Iterable[str]) -> bytes:
    """The content of a file of ids, one a line.

    Raises:
        ArchiveError: an id has a line break, or cannot be spelt in UTF-8.
    """
    lines = []
    for one in ids:
        if "\n" in one:
            raise ArchiveError(
                f"the id {shown(one)!r} has a line break, so it cannot stand in a list of ids; "
                "delete it by name, with: kinpack rm ARCHIVE ID"
            )
        try:
            lines.append(one.encode() + b"\n")
        except UnicodeEncodeError as error:
            raise ArchiveError(
                f"the id {shown(one)!r} is no UTF-8, so it cannot stand in a list of ids; delete "
                "it by name, with: kinpack rm ARCHIVE ID"
            ) from error
    return b"".join(lines)


def ids_of_list(path: Path) -> list[str]:
    """The ids of a file, one a line, each exactly as it stands there.

    Raises:
        KinpackError: it cannot be read, is empty, is no UTF-8, or has a line without an id.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise KinpackError(f"{shown(path)}: {error.strerror}; name a file of ids") from error
    if lines[-1] == b"":
        lines.pop()
    found = []
    for number, line in enumerate(lines, start=1):
        where = f"{shown(path)}, line {number}"
        if not line:
            raise KinpackError(f"{where}: is empty; write one id a line, and nothing else")
        try:
            found.append(line.decode())
        except UnicodeDecodeError as error:
            raise KinpackError(f"{where}: is no UTF-8; write one id a line in UTF-8") from error
    return found
