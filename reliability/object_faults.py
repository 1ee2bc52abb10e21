"""Let a real object store fail in every way, at every request, while archives are written and read.

    python -m reliability.object_faults [--seconds 120]

These trials are the tests of `tests/test_object_faults.py`, which the suite runs for a few
requests: here they go on for all of them. They start SeaweedFS on loopback from its package, and
put a proxy before it that does the harm. After each: what was acknowledged is there bit for bit,
and once; what was not is there wholly or not at all; the archive verifies.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from reliability import ROOT
from reliability.report import Trials, parser

TESTS = ROOT / "tests" / "test_object_faults.py"


class Counting:
    """A plug-in of pytest that adds up what tests record, and notes what fails.

    Args:
        trials: where failures go; a test that is skipped is one, for nothing was tried.
    """

    def __init__(self, trials: Trials) -> None:
        self.counts: Counter[str] = Counter()
        self._trials = trials

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in what a test has recorded and how it went."""
        if not report.passed:
            reason = " ".join(report.longreprtext.split())[-300:]
            self._trials.fail(f"{report.nodeid.rpartition('::')[2]}: {report.outcome}: {reason}")
        if report.when == "call":
            for name, count in report.user_properties:
                self.counts[name] += int(str(count).partition(".")[0])
            self._trials.tell(f"{report.nodeid}: {dict(self.counts)}")


def main() -> None:
    """Run the trials, and write the result file."""
    options = parser(__doc__, "object_faults")
    options.add_argument("--seconds", type=int, default=120, help="any faults at all for so long")
    chosen = options.parse_args()
    trials = Trials("object_faults", chosen)
    os.environ |= {"KINPACK_LONG": "1", "KINPACK_SOAK": str(chosen.seconds)}
    counting = Counting(trials)
    words = [str(TESTS), "--rootdir", str(ROOT), "-q", "-p", "no:cacheprovider"]
    if chosen.folder:
        words += ["--basetemp", str(chosen.folder / "pytest")]
    status = pytest.main(words, plugins=[counting])
    if status and not trials.failures:
        trials.fail(f"the tests could not be run: {status!r}")
    trials.finish(dict(counting.counts))


if __name__ == "__main__":
    main()
