"""Running the trials of ``reliability/`` in processes of their own, which fork and are killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def trial(name: str, folder: Path, *words: object, fails: bool = False) -> dict[str, Any]:
    """What a short run of a trial counted; the test fails with what it prints.

    Args:
        name: of the module.
        folder: an empty folder to work in.
        words: its options.
        fails: whether it must find that a promise is broken.
    """
    output = folder / "result.json"
    command = [sys.executable, "-m", f"reliability.{name}"]
    command += [f"--folder={folder}", f"--output={output}"]
    done = subprocess.run(
        [*command, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == fails, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(output.read_text())
    assert (result["failures"] > 0) == fails
    assert fails or str(folder) not in output.read_text()  # no names of places
    return result
