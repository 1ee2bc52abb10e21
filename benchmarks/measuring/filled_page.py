"""Pages whose tables are written from result files, so that no number there is typed by hand.

A table stands between `<!-- numbers: NAME -->` and `<!-- end of numbers -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring.places import ROOT, module_of

UNMEASURED = "*Not measured yet.*"


def filled(text: str, table: Callable[[str], str]) -> str:
    """The text with every table made anew.

    Args:
        text: of a page.
        table: gives the lines of a table from its name.
    """

    def between(match: re.Match[str]) -> str:
        return f"{match[1]}\n{table(match[2])}\n{match[3]}"

    pattern = r"(<!-- numbers: ([a-z-]+) -->)\n.*?(<!-- end of numbers -->)"
    return re.sub(pattern, between, text, flags=re.DOTALL)


def fill_page(page: Path, table: Callable[[str], str]) -> None:
    """Fill a page; with --check among the program's words only tell whether that would change it.

    Args:
        page: its file.
        table: gives the lines of a table from its name.

    Raises:
        SystemExit: it would change; the message names the command that fills it.
    """
    text = page.read_text()
    new = filled(text, table)
    if new == text:
        return
    if "--check" in sys.argv[1:]:
        name = page.relative_to(ROOT)
        sys.exit(f"{name} differs from the results: run python -m {module_of(sys.argv[0])}")
    page.write_text(new)
