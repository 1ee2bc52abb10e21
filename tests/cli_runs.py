"""Runs of the ``kinpack`` command: as a user has it, in a process of its own, or in this one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from kinpack.cli import app

PROGRAM = Path(sys.executable).parent / "kinpack"

Word = str | os.PathLike[str]


def environment(home: Path) -> dict[str, str]:
    """An environment with an empty home and no way to the hub."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "PYTHONPATH") if key in os.environ}
    return {**kept, "HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True)
class User:
    """Somebody who types commands in one folder."""

    folder: Path
    more: Mapping[str, str] = field(default_factory=dict)

    def start(self, *words: Word, **options: Any) -> subprocess.Popen[str]:
        """Start a command, both of its outputs into pipes unless told otherwise."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(
            [PROGRAM, *words],
            cwd=self.folder,
            env={**environment(self.folder.parent / "home"), **self.more},
            text=True,
            **{**pipes, **options},
        )

    def run(self, *words: Word, **options: Any) -> tuple[int, str, str]:
        """Run a command; its exit code, output and errors."""
        process = self.start(*words, **options)
        try:
            out, errors = process.communicate()
        finally:
            process.kill()
        return process.returncode, out or "", errors or ""

    def works(self, *words: Word) -> str:
        """Run a command that must work, and say nothing but its output."""
        code, out, errors = self.run(*words)
        assert (code, without_progress(errors)) == (0, ""), (
            f"kinpack {words}: exit {code}\n{out}{errors}"
        )
        return out

    def asks(self, *words: Word) -> Any:
        """The one JSON document that a command prints."""
        return json.loads(self.works(*words, "--json"))

    def fails(self, *words: Word, code: int = 1, before: Callable[[], None] | None = None) -> str:
        """Run a command that must fail with one clear line; what that line says."""
        found, out, errors = self.run(*words, preexec_fn=before)
        assert found == code, f"kinpack {words}: exit {found}\n{out}{errors}"
        return one_error(errors)


def run(*words: Word, code: int = 0) -> Result:
    """Run a command in this process, which must end with an exit code."""
    result = CliRunner().invoke(app, [os.fspath(word) for word in words])
    assert result.exit_code == code, f"{words}: {result.output}"
    return result


def ask(*words: Word) -> Any:
    """The JSON answer of a command in this process, which prints nothing else."""
    result = run(*words, "--json")
    assert without_progress(result.stderr) == ""
    return json.loads(result.stdout)


def pack_six(folder: Path) -> Path:
    """An archive in a folder, of six pictures of two labels that lie beside it."""
    pictures(folder / "photos", 3, label="beach")
    pictures(folder / "photos", 3, label="forest", seed=50)
    run("pack", folder / "photos", "-o", folder / "photos.kin", "--codec", "classic", "--quiet")
    return folder / "photos.kin"


def without_progress(errors: str) -> str:
    """Standard error without the lines that tell every ten seconds how far a command has come."""
    return re.sub(
        r"^kinpack: (?!error)[a-z ]+: ([\d,]+( of [\d,]+)? images(, .*)?|\d+%, .*)\n",
        "",
        errors,
        flags=re.M,
    )


def one_error(errors: str) -> str:
    """What the only line of standard error says, without its beginning."""
    errors = without_progress(errors)
    assert errors.startswith("kinpack: error: "), errors
    assert errors.count("\n") == 1, errors
    assert errors.endswith("\n")
    assert "Traceback" not in errors
    assert "should not have happened" not in errors
    return errors.removeprefix("kinpack: error: ").rstrip("\n")


def texture(seed: int, height: int = 40, width: int = 48, channels: int = 3) -> NDArray[np.uint8]:
    """A smooth random picture, the same for the same seed."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, 4, (height, width, channels)), axis=seed % 2)
    pixels: NDArray[np.uint8] = (walk - walk.min()).clip(0, 255).astype(np.uint8)
    return pixels


def pictures(folder: Path, count: int = 6, *, label: str = "beach", seed: int = 0) -> list[Path]:
    """Write pictures of one label, of all sorts that cameras and drawing programs make."""
    (folder / label).mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(count):
        suffix = ("png", "jpg", "webp")[index % 3]
        channels = 4 if suffix == "png" and index % 2 else 3
        path = folder / label / f"{index:02}.{suffix}"
        Image.fromarray(texture(seed + index, 40 + index, 48, channels)).save(path)
        paths.append(path)
    return paths
