"""The reader in JavaScript, built and run under Node."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

READER = Path(__file__).resolve().parents[1] / "web" / "reader"
JOBS = Path(__file__).with_name("javascript_jobs.mjs")


def why_not() -> str | None:
    """Why the reader cannot be built here; ``None`` if it can."""
    if shutil.which("node") is None:
        return "Node is not installed, so the reader in JavaScript is not tried"
    if not (READER / "node_modules" / "esbuild").is_dir():
        return "the reader's packages are not installed: npm ci --prefix web/reader"
    return None


needs_node = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def node(
    *arguments: object, given: bytes = b"", wasm: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Run Node in the reader's folder, without a proxy: tests' servers are on this machine."""
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment |= {} if wasm else {"WITHOUT_WASM": "1"}
    command = ["node", *map(str, arguments)]
    return subprocess.run(
        command, cwd=READER, input=given, capture_output=True, env=environment, check=False
    )


@cache
def built() -> Path:
    """Build the reader; its folder."""
    folder = Path(mkdtemp(prefix="kinpack-reader-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    done = node("build.mjs", folder)
    assert done.returncode == 0, done.stderr.decode()
    return folder


def run_jobs(jobs: list[dict[str, Any]], *, wasm: bool = True) -> list[dict[str, Any]]:
    """What the reader gives or refuses, job by job: ``way``, ``where``, ``at`` and options."""
    plain = [{key: str(v) if isinstance(v, Path) else v for key, v in job.items()} for job in jobs]
    done = node(JOBS, built(), given=json.dumps(plain).encode(), wasm=wasm)
    assert done.returncode == 0, done.stderr.decode()
    results: list[dict[str, Any]] = json.loads(done.stdout)
    assert len(results) == len(jobs)
    return results


def value_of(result: dict[str, Any]) -> Any:
    """What a job gave; the test fails where it refused."""
    assert "value" in result, result
    return result["value"]
