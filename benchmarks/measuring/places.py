"""Where things lie in the repository, and the names that its modules are run by."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def module_of(path: str) -> str:
    """The name that ``python -m`` runs a module of the repository by.

    Args:
        path: of the module's file: its ``__file__``, or what a running one is called.

    Returns:
        The name; of a file that lies elsewhere, that of the file.
    """
    file = Path(path).resolve()
    if not file.is_relative_to(ROOT):
        return file.name
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__main__" else parts)
