"""The table of engines: a new one is a module beside this and a line here."""

from __future__ import annotations

from kinpack.search.distances.distance import SearchError
from kinpack.search.engines.engine import Registration
from kinpack.search.engines.fast_scan import FastScan
from kinpack.search.engines.numpy_scan import NumpyScan

ENGINES = {
    "numpy": Registration(build=NumpyScan),
    # Below 2^15 codes numpy is quicker; it scans 20 million in about the time that importing faiss
    # and building an index takes.
    "faiss": Registration(build=FastScan, from_codes=1 << 15, after_scanned=20_000_000),
}
"""Engines by name; ``auto`` takes the last one that pays."""


def check_engine(name: str) -> None:
    """See that there is an engine of a name, or that it is ``auto``.

    Raises:
        SearchError: there is none.
    """
    if name not in ("auto", *ENGINES):
        raise SearchError(f"there is no engine {name!r}: use auto, {', '.join(ENGINES)}")
