"""Writers killed at any moment, in every sort of commit: a short run of ``reliability.kills``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trial_runs import trial


@pytest.mark.slow
def test_killed_at_random_and_around_calls(tmp_path: Path) -> None:
    result = trial("kills", tmp_path, "--random", 1, "--every", 17)
    assert result["kills_at_random"] == len(result["acts"]) >= 11
    assert result["kills_around_calls"] > 40
    for act, counts in result["acts"].items():
        assert counts["calls"]["done"] == 1, act
        assert counts["calls"]["former"] > 0, act
    assert sum(counts["calls"].get("new", 0) for counts in result["acts"].values()) > 0
