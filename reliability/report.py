"""Result files: what a trial was run with, what it counted, and what went wrong."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measuring.machine import machine

RESULTS = Path(__file__).with_name("results")

_PLACES = ("--folder=", "--output=", "--corpus=")  # options that no result file notes
_SHOWN = 10
_SHOWN_FAILURES = 20


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """The options that all trials have; where files lie is not noted in result files.

    Args:
        description: the module's docstring.
        name: of the module and its result file.
    """
    made = argparse.ArgumentParser(
        prog=f"python -m reliability.{name}", description=(description or "").partition("\n")[0]
    )
    made.add_argument("--seed", type=int, default=6)
    made.add_argument("--folder", type=Path, help="where the trials are made (a temporary folder)")
    made.add_argument("--output", type=Path, default=RESULTS / f"{name}.json")
    return made


class Trials:
    """Counts of trials, and what failed of them.

    Args:
        name: of the module.
        options: from ``parser``.
    """

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.failures: list[str] = []
        self._name = name
        self._options = options
        self._began = time.monotonic()
        self._shown = self._began

    def fail(self, what: str) -> None:
        """Note that a promise was broken."""
        self.failures.append(what)
        if len(self.failures) <= _SHOWN_FAILURES:
            print(f"FAILED: {what}", file=sys.stderr, flush=True)

    def tell(self, text: str) -> None:
        """Show how far it is, every few seconds."""
        if time.monotonic() - self._shown > _SHOWN:
            self._shown = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def finish(self, counts: dict[str, Any]) -> None:
        """Write the result file; ends with exit code 1 if anything failed.

        Args:
            counts: what was counted, JSON values.
        """
        self.write(counts)
        print(json.dumps({**counts, "failures": len(self.failures)}))
        if self.failures:
            sys.exit(1)

    def write(self, counts: dict[str, Any]) -> None:
        """Write the result file as far as the trial has come."""
        words = [word for word in sys.argv[1:] if not word.startswith(_PLACES)]
        result = {
            "command": shlex.join(["python", "-m", f"reliability.{self._name}", *words]),
            "seed": self._options.seed,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **machine(),
            "seconds": round(time.monotonic() - self._began, 1),
            **counts,
            "failures": len(self.failures),
            **({"failed": self.failures[:_SHOWN_FAILURES]} if self.failures else {}),
        }
        self._options.output.parent.mkdir(parents=True, exist_ok=True)
        self._options.output.write_text(json.dumps(result, indent=2) + "\n")
