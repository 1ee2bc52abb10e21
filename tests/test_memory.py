"""Memory that runs out: a short run of ``reliability.memory``, and what is said of it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from fakes.fake_codec import pictures
from kinpack.archive.archive import Archive
from kinpack.archive.segments import segment
from kinpack.cli import app
from kinpack.errors import ArchiveError
from tests.archive_checks import content, expected, make, reopened
from tests.trial_runs import trial

ENDED = {"done", "MemoryError", "refused", "lost", "died"}


@pytest.mark.slow
def test_memory_is_refused_at_any_allocation(tmp_path: Path) -> None:
    if find_spec("_testcapi") is None or not os.access("/proc/self/statm", os.R_OK):
        pytest.skip("this Python cannot let allocations fail")
    result = trial("memory", tmp_path, "--every", 997, "--limits", 0, "--acts", "create,add,rm")
    for act, ways in result["acts"].items():
        for way, counts in ways.items():
            assert sum(counts.get(word, 0) for word in ENDED) > 5, (act, way)
            assert counts["MemoryError"], (act, way)


def test_memory_that_runs_out_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "a.kin")

    def none(*_: Any, **__: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch, reopened(path) as archive:
        patch.setattr(segment, "Tail", none)
        with pytest.raises(ArchiveError, match="memory ran out") as caught:
            archive.read("set/00001")
    assert "restore" not in str(caught.value)
    assert content(path) == expected(pictures(10))


def test_the_command_has_a_line_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Archive, "open", none)
    with pytest.raises(SystemExit) as end:
        app(["info", str(make(tmp_path / "a.kin"))])
    assert end.value.code == 1
    assert capsys.readouterr().err == (
        "kinpack: error: memory ran out; try again where more is free\n"
    )
