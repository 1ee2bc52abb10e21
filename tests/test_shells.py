"""Completion in shells, and the manual page, both of the commands as they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.pages.manual import manual
from kinpack.cli.options import paths

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "kinpack.1"


def completed(shell: str, folder: Path, *words: str) -> str:
    """What a shell is told of the last word."""
    asked = {
        "bash": {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": " ".join(words)},
        "fish": {
            "_TYPER_COMPLETE_ARGS": " ".join(words),
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
    }
    done = subprocess.run(
        [sys.executable, "-m", "kinpack"],
        env={**os.environ, "_KINPACK_COMPLETE": f"complete_{shell}", **asked[shell]},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_options_and_paths(shell: str, tmp_path: Path) -> None:
    (tmp_path / "photos.kin").mkdir()
    assert "pack" in completed(shell, tmp_path, "kinpack", "pa")
    assert "--dry-run" in completed(shell, tmp_path, "kinpack", "rm", "--dr")
    assert "photos.kin" in completed(shell, tmp_path, "kinpack", "ls", "pho")
    assert "no such" not in completed(shell, tmp_path, "kinpack", "ls", "x")


def test_paths_are_completed_as_shells_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b", "a [1]/c", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert paths("") == ["a [1]/", "b/", "file"]
    assert paths(".h") == [".hidden/"]
    assert paths("a [1]/") == ["a [1]/c/"]
    assert paths(f"{tmp_path}/fi") == [f"{tmp_path}/file"]
    assert paths("none/x") == []


def test_the_page_has_every_command_and_option() -> None:
    def told(page: str) -> list[str]:
        heads = re.findall(
            r"^\.SS kinpack ([a-z -]+)|^\.B (\\-[^ \n]*(?: \\-\\-[^ \n]+)?)", page, re.M
        )
        return [command.strip() or option for command, option in heads]

    assert told(manual()) == told(PAGE.read_text()), (
        "make it anew: python -m benchmarks.pages.manual > docs/kinpack.1"
    )
